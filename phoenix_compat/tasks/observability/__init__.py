"""What the worker counts, logs and traces of its tasks; and how long the provider takes.

`tracing` is the seam for those who listen; nothing here knows who that is.
"""
