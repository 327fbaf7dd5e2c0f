"""Tests of the fault server, the pytest plugin and the `conformance` commands."""
