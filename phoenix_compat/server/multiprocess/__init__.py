"""What the task server needs with `--workers`: one process leads, the others forward to it.

Start with `cluster`.
"""
