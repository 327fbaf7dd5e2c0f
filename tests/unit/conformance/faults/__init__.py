"""Tests of the fault server's parts: parsing, sessions, records and rules."""
