"""Runs an application with `ClientHandler` as the protocol of its connections."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from phoenix_compat.accept.request_deadlines import BoundCounters, HttpBounds, Watch
from phoenix_compat.http_server.handler import HttpServer


class AppRunner(web.AppRunner):
    """Like aiohttp's AppRunner, but serves each connection with a `ClientHandler`.

    Args:
        bounds: what clients may take their time for.
        counters: counts how often they took too long.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        bounds: HttpBounds | None = None,
        counters: BoundCounters | None = None,
        **options: Any,
    ) -> None:
        self._bounds = bounds or HttpBounds()
        self.counters = counters or BoundCounters()
        defaults = {"access_log": None, "auto_decompress": False}
        super().__init__(app, **{**defaults, **options, "keepalive_timeout": 0.0})

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return HttpServer(
            Watch(self._bounds, self.counters),
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,  # noqa: SLF001 - aiohttp has no public way to set the handler class
            **server._kwargs,  # noqa: SLF001 - the same
        )
