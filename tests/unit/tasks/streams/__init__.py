"""Tests of `phoenix_compat.tasks.streams`."""
