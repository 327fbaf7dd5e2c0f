"""Joins, pushes, received messages and presence."""
