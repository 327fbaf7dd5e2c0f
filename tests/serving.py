"""Runs aiohttp applications on free loopback ports, and builds small applications."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from phoenix_compat import Endpoint, Socket, SocketHandler, WebSocketOptions, mount, ok
from phoenix_compat.result import Result
from phoenix_compat.server.process.listening import listening
from tests.patience import patient


@asynccontextmanager
async def serving(
    app: web.Application, ssl_context: ssl.SSLContext | None = None, *, port: int = 0
) -> AsyncIterator[str]:
    """Serve the application and yield its base URL, `http://127.0.0.1:port` or `https:`."""
    runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=ssl_context).start()
        host, bound_port = runner.addresses[0][:2]
        yield f"{'http' if ssl_context is None else 'https'}://{host}:{bound_port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_fast(app: web.Application) -> AsyncIterator[str]:
    """The same with this package's own server, which answers handshakes without aiohttp."""
    async with listening(app, "127.0.0.1", 0) as base_url:
        yield base_url


def socket_app(
    handler: type[SocketHandler],
    websocket: WebSocketOptions | None = None,
    *,
    path: str = "/socket",
    endpoint: Endpoint | None = None,
) -> web.Application:
    """An application with one socket, with the default options and endpoint unless given."""
    endpoint = endpoint or Endpoint()
    endpoint.socket(path, handler, websocket=websocket or WebSocketOptions())
    app = web.Application()
    mount(app, endpoint)
    return app


def accepting(channels: Mapping[str, Any]) -> type[SocketHandler]:
    """A socket handler that accepts everyone; the parameter `user` sets the id `user:<user>`."""

    class AcceptingSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            socket.assign(user=params.get("user"))
            return ok()

        def id(self, socket: Socket) -> str | None:
            user = socket.assigns["user"]
            return None if user is None else f"user:{user}"

    AcceptingSocket.channels = channels
    return AcceptingSocket


class EventLog:
    """Events that channels record, for a test to read in order."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    def record(self, value: Any) -> None:
        """Record an event."""
        self._events.put_nowait(value)

    async def next(self, timeout_s: float = 5.0) -> Any:
        """Wait for the next event."""
        async with asyncio.timeout(patient(timeout_s)):
            return await self._events.get()

    @property
    def is_empty(self) -> bool:
        """Whether all events were read."""
        return self._events.empty()
