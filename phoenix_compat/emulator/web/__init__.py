"""The HTTP side of the emulator: aiohttp handlers over the modules one folder up.

Start with `app`, which lists the routes.
"""
