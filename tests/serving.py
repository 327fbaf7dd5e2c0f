"""Runs aiohttp applications on free ports of the loopback, and builds small ones to run."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from phoenix_compat import Endpoint, Socket, SocketHandler, WebSocketOptions, mount, ok
from phoenix_compat.result import Result
from tests.patience import patient


@asynccontextmanager
async def serving(
    app: web.Application, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve the application; yields its base URL, `http://127.0.0.1:port`, or `https:` with TLS."""
    runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
        host, port = runner.addresses[0][:2]
        yield f"{'http' if ssl_context is None else 'https'}://{host}:{port}"
    finally:
        await runner.cleanup()


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
    """A socket that lets everyone in; the param `user`, if any, names it `user:<user>`."""

    class AcceptingSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            socket.assign(user=params.get("user"))
            return ok()

        def id(self, socket: Socket) -> str | None:
            user = socket.assigns["user"]
            return None if user is None else f"user:{user}"

    AcceptingSocket.channels = channels
    return AcceptingSocket


class Diary:
    """What channels note while they run, for a test to read in order."""

    def __init__(self) -> None:
        self._notes: asyncio.Queue[Any] = asyncio.Queue()

    def note(self, value: Any) -> None:
        """Write something down."""
        self._notes.put_nowait(value)

    async def next(self, timeout_s: float = 5.0) -> Any:
        """The next note, waited for."""
        async with asyncio.timeout(patient(timeout_s)):
            return await self._notes.get()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing more to read."""
        return self._notes.empty()
