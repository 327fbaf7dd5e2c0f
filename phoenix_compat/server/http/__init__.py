"""The HTTP API: tasks, files, webhooks, and problem documents for errors. Start with `api`."""
