"""The routes of tasks and their types. Start with `api`."""
