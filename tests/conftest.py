"""Fixtures for all tests: servers on free loopback ports, and clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.wire_client import WireClient
from tests.serving import serving
from tests.wire import PhoenixWire

Serve = Callable[[web.Application], Awaitable[str]]
Open = Callable[..., Awaitable[PhoenixWire]]
Dial = Callable[[str], Awaitable[WireClient]]


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[None]:
    """Raise an error if code of this package blocks the event loop."""
    with blockbuster_ctx("phoenix_compat") as detector:
        for function in detector.functions.values():
            function.can_block_in("structlog/_base.py", "_process_event")
        yield


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start applications on free ports; each call returns a base URL."""
    async with AsyncExitStack() as servers:

        async def start(app: web.Application) -> str:
            return await servers.enter_async_context(serving(app))

        yield start


@pytest.fixture
async def open_wire() -> AsyncIterator[Open]:
    """Open websockets with the arguments of `PhoenixWire.open`; they are closed after the test."""
    async with AsyncExitStack() as clients:

        async def open_one(*args: Any, **kwargs: Any) -> PhoenixWire:
            wire = await PhoenixWire.open(*args, **kwargs)
            clients.push_async_callback(wire.close)
            return wire

        yield open_one


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Open TCP connections to a base URL, for requests that may be refused."""
    async with AsyncExitStack() as clients:

        async def dial_one(base_url: str) -> WireClient:
            client = await WireClient.connect(base_url)
            clients.push_async_callback(client.close)
            return client

        yield dial_one


@pytest.fixture
async def reference_url(serve: Serve) -> str:
    """The base URL of a server with the reference channel set."""
    return await serve(build_reference_app())
