"""The worker: takes queued tasks in order and runs each one to its end.

Start with `worker`; `executor` lists the steps of one task. Tasks as values are in `tasks/model`,
the database is in `tasks/store`, and the client of the provider is in `tasks/provider`.
"""
