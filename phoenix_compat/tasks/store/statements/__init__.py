"""The SQL statements of all stores, as constants in SQLite's dialect.

A constant is also the name of its statement: another engine may have a text of its own for it, with
the same parameters and columns.
"""
