"""The archive of output files: downloads them, checks them, and stores them by content hash.

Tasks' rows and HTTP are not here: `store` has the rows, `server/http/files` serves the files. Start
with `archive`.
"""
