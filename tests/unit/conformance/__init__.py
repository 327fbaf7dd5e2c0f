"""Tests of the fault server's rules and of the trace checker, without a network."""
