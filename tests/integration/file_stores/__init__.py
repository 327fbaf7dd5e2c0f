"""The places for files: what holds for each of them, and for a bucket alone."""
