"""Unit tests of the worker: its limits and options, and single steps of a run."""
