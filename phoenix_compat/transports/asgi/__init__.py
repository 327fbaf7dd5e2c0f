"""Serves Phoenix sockets in ASGI applications, by websocket and long-polling.

Nothing here knows a web framework, except `mount`, which imports Starlette when it is called. The
public names are in `phoenix_compat.asgi`. Start with `application`.
"""

from phoenix_compat.transports.asgi.application import Application, app
from phoenix_compat.transports.asgi.mount import mount

__all__ = ["Application", "app", "mount"]
