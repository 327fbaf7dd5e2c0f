"""A server of key sets whose answers a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from tests.serving import serving

PATH: Final = "/keys"


class JwksServer:
    """Answers with `body` and `status`; hangs while `is_hanging`.

    Attributes:
        requests: how many came.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.status = 200
        self.is_hanging = False
        self.headers: dict[str, str] = {}
        self.requests = 0
        self.url = ""
        self._released = asyncio.Event()
        self._asked = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def started(cls, body: bytes) -> AsyncIterator[JwksServer]:
        """Serve on a free port of the loopback."""
        server = cls(body)
        app = web.Application()
        app.router.add_get(PATH, server._answer)
        async with serving(app) as url:
            server.url = url + PATH
            try:
                yield server
            finally:
                server._released.set()

    async def _answer(self, _request: web.Request) -> web.Response:
        async with self._asked:
            self.requests += 1
            self._asked.notify_all()
        if self.is_hanging:
            await self._released.wait()
        return web.Response(body=self.body, status=self.status, headers=self.headers)

    async def was_asked(self, times: int) -> None:
        """Wait until this many requests have come."""
        async with self._asked:
            await self._asked.wait_for(lambda: self.requests >= times)
