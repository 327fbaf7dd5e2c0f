"""Keeps files in a bucket of an S3 server, by obstore, which is imported when it is first used.

`s3_files` is the place for files, `bucket` sends the requests, `location` reads the setting.
"""
