"""Fixtures: a server that can restart, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat.client import Client, ClientChannel
from phoenix_compat.client.options import Transport, Vsn
from phoenix_compat.conformance.reference import build_reference_app
from tests.patience import patient

QUICK: dict[str, Any] = {"rejoin_after_s": (0.01,), "jitter": 0.0}


class Server:
    """The reference channel set on a port that stays the same over restarts."""

    def __init__(self) -> None:
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The URL of its socket."""
        return f"ws://127.0.0.1:{self.port}/socket"

    async def start(self) -> None:
        """Listen."""
        app = build_reference_app(speedup=10.0)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Shut down, if it runs."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A running server."""
    running = Server()
    await running.start()
    yield running
    await running.stop()


class Make:
    """Makes clients of one cell, and closes them after the test."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack

    async def __call__(
        self, transport: Transport = "websocket", vsn: Vsn = "2.0.0", **options: Any
    ) -> Client:
        """A connected client."""
        client = Client(
            options.pop("url", self._url),
            transport=transport,
            vsn=vsn,
            timeout_s=patient(5.0),
            **{**QUICK, **options},
        )
        return await self._stack.enter_async_context(client)


@pytest.fixture
async def make(server: Server) -> AsyncIterator[Make]:
    """Makes clients."""
    async with AsyncExitStack() as stack:
        yield Make(server.url, stack)


async def joined(client: Client, topic: str = "room:a", params: Any = None) -> ClientChannel:
    """A joined channel."""
    channel = client.channel(topic, params)
    await channel.join()
    return channel
