"""Tests of the places for files that need no server."""
