"""Tests of what tests use: tests/services."""
