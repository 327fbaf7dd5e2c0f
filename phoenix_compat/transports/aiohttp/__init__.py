"""Phoenix sockets in an aiohttp application: websocket and long-polling. Start with `mount`."""

from phoenix_compat.transports.aiohttp.mount import mount

__all__ = ["mount"]
