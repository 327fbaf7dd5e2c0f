"""Reads the files in a model's input, and finds out what a model says about them.

Nothing is fetched from other servers. Start with `source_files`.
"""
