"""Unit tests of the benchmarks: what they say of figures, and of what is missing."""
