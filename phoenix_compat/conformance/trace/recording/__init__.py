"""Recorded conversations: frames, and the file formats they are read from. Start with `frames`."""
