"""Takes tasks out of a database and into another one.

`task_lines` exports and imports tasks as JSON lines. `store_copy` copies everything from a file of
SQLite to PostgreSQL.
"""
