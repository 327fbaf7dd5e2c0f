"""Benchmarks of several nodes: `python -m tests.benchmarks nodes`. `cases` lists them.

They need PostgreSQL, Redis and NATS, which they start themselves, on loopback.
"""
