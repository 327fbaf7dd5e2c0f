"""The task server: the task engine, the channels library and an HTTP API put together.

Commands are in `cli`, work on stored data is in `operations`. Start with `main`, which builds the
server from its settings.
"""
