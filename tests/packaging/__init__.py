"""Tests of the built packages in isolated systems: `make test-packaging`. Start with `sandbox`."""
