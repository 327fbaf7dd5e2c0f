"""What the task server needs with `--workers`: one process leads, the others forward to it.

The bus and the supervisor are in `phoenix_compat.cluster`. Start with `cluster`.
"""
