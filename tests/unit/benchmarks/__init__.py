"""Unit tests of the benchmarks: targets, tables, arguments and the errors for missing tools."""
