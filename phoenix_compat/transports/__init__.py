"""The doors: the only rooms where sockets meet aiohttp.

`mount(app, endpoint)` serves an endpoint's sockets in an aiohttp application.
"""

from phoenix_compat.transports.mount import mount

__all__ = ["mount"]
