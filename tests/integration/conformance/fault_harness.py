"""Fixtures for tests of the fault server: a server, raw websockets and the control API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.conformance.faults.server import add_fault_server
from phoenix_compat.conformance.suite.wire_client import (
    HttpResponse,
)
from tests.conftest import Dial, Open, Serve
from tests.wire import PhoenixWire

SOCKET = "/faults/t/socket/websocket?vsn=2.0.0"
ASK = {"n": 1}

Connect = Callable[..., Awaitable[PhoenixWire]]
Post = Callable[[dict[str, Any]], Awaitable[int]]


@pytest.fixture
async def base_url(serve: Serve) -> str:
    """The base URL of a fault server."""
    app = web.Application()
    add_fault_server(app)
    return await serve(app)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def arm(base_url: str, http: aiohttp.ClientSession) -> Post:
    """Arm a fault for the client `t`; returns the HTTP status."""

    async def post(document: dict[str, Any]) -> int:
        async with http.post(f"{base_url}/control/faults", json={"client": "t", **document}) as it:
            return it.status

    return post


@pytest.fixture
def connect(base_url: str, open_wire: Open) -> Connect:
    """Open a websocket; with a topic, send a join of it."""

    async def open_and_join(topic: str | None = None, target: str = SOCKET) -> PhoenixWire:
        wire = await open_wire(base_url, target)
        if topic is not None:
            await wire.send(["1", "1", topic, "phx_join", {}])
        return wire

    return open_and_join


async def joined(connect: Connect, topic: str) -> PhoenixWire:
    """A websocket that has joined a topic and received `ask`."""
    wire = await connect(topic)
    assert (await wire.recv())[:4] == ["1", "1", topic, "phx_reply"]
    assert await wire.recv() == ["1", None, topic, "ask", ASK]
    return wire


async def ending(wire: PhoenixWire) -> int | None:
    """The code of the close frame that comes next, or None if the connection ends without one."""
    frame = await wire.client.read_frame()
    return None if frame is None else frame.close_code


async def upgrade(dial: Dial, base_url: str, target: str = SOCKET) -> HttpResponse:
    """The response to a handshake."""
    client = await dial(base_url)
    return await client.handshake(target)
