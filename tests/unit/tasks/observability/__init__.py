"""Unit tests of what the worker counts, logs and traces."""
