"""Tests of the brokers, with real servers."""
