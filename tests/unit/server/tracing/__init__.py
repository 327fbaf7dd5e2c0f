"""Unit tests of tracing."""
