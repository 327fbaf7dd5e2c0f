"""Tests with real Phoenix clients; see README.md."""
