"""Where tasks are kept: `TaskStore`, rows, the queue limit, export and import.

Start with `task_store`. The database engine below it lives in `sqlite/`.
"""
