"""The worker: takes queued tasks in order and runs each one to its end.

Start with `worker`; `run` shows the steps of one task.
"""
