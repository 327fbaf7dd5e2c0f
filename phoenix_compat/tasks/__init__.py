"""The workshop: tasks, where they are kept, and the worker that has them made.

It has never heard of channels; it announces through a callable it is given.
"""
