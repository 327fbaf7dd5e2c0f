"""Processes of one machine that share a connection to a broker."""
