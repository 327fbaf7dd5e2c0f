"""The SQLite database of the store: opens, locks, migrates, reads, writes and copies one file.

What a task is and how it becomes a row is not known here; `statements/` has the SQL. Start with
`database`.
"""
