"""The task server: the task engine and the channels library put together.

Start with `main`, which builds the whole server from its settings.
"""
