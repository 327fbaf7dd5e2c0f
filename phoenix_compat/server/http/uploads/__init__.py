"""The files that clients send over HTTP: inline in the body of a task, or to be used by a task.

How files are checked and stored is in `tasks/archive/input_files`. Start with `task_files`.
"""
