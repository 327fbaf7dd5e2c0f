"""The load mode: what it counts, and when it blames itself."""
