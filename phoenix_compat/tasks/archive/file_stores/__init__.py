"""The places where the archive keeps its files: a folder, or a bucket of an S3 server.

`file_store` says what the archive needs of a place. The folder itself is in `content_store`.
"""
