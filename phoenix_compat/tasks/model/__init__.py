"""A task as a value: its states and moves, its types, failures, output and progress. No I/O.

Start with `task`.
"""
