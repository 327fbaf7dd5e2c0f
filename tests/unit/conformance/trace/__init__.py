"""Tests of the trace checker: reading recordings, and each rule."""
