"""The task store: `TaskStore`, its reading part, the conversion of rows, export and import.

Start with `task_store`. The SQLite database that it uses is in `sqlite/`.
"""
