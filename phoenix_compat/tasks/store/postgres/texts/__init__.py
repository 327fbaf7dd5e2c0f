"""PostgreSQL's texts of the statements in `store/statements` that are not written alike in SQLite.

`dialect` puts them in their places.
"""
