"""Values and rules of tasks: states, types, failures, output and progress.

Nothing here does I/O, except that `task_types_file` reads TOML files. Start with `task`.
"""
