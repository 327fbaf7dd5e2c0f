"""Checks a recorded conversation against the protocol: which frame is wrong, who sent it, and why.

`recording/` reads the files, `rules/` lists what must not happen, and the modules here check it.
Start with `checker`. Nothing here opens a connection.
"""
