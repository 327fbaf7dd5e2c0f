"""Connects endpoints to web frameworks. The modules here do not depend on a framework.

Each supported framework has a folder; `aiohttp/` is the only one so far. Start with
`aiohttp/mount`.
"""
