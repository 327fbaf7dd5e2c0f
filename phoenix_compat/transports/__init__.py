"""What every transport needs, whichever web framework carries it: who may connect, and sessions.

One folder for each web framework; `aiohttp/` is the one there is. Start with `aiohttp/mount`.
"""
