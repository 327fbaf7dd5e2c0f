"""SQLite below the store: opening, locking, writing, migrating and copying one database file.

Start with `database`.
"""
