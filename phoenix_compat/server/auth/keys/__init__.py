"""API keys: the database of their hashes, what is remembered of them, and the first key."""
