"""The task store: `TaskStore`, the conversion of rows, the queue limit, export and import.

Start with `task_store`. The SQLite database that it uses is in `sqlite/`.
"""
