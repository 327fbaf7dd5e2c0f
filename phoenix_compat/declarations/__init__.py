"""Checks what users declare, when they declare it: callbacks in classes, and values of options.

Every error names the class or the option, and the line to write. Nothing here knows channels,
sockets or endpoints; `callbacks` and `options` are called by those.
"""
