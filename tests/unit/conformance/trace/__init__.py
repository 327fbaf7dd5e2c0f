"""Recordings, and what is wrong with them."""
