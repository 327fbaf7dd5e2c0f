"""Mistakes in declarations, and what their errors say."""
