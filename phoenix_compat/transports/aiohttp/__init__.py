"""Serves Phoenix sockets in an aiohttp application, by websocket and long-polling.

What does not depend on aiohttp is one folder up. Start with `mount`.
"""

from phoenix_compat.transports.aiohttp.mount import mount

__all__ = ["mount"]
