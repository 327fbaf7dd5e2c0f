"""Draws and caches the pictures that the emulated models produce. Start with `picture`."""
