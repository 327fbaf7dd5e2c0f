"""Tests of what only the store on PostgreSQL has: its texts, its faults, and several servers."""
