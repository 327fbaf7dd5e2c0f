"""Fixtures: a client whose connections are made by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from phoenix_compat.client import Client, ClientChannel
from phoenix_compat.client.connector import Connector
from phoenix_compat.client.transports.connection import Connection
from tests.patience import patient
from tests.unit.client.fake_connection import FakeConnection

URL = "ws://server.invalid/socket"
QUICK: dict[str, Any] = {"reconnect_after_s": (0.001,), "rejoin_after_s": (0.001,), "jitter": 0.0}


class Network:
    """Gives clients fake connections, one for each attempt."""

    def __init__(self) -> None:
        self._attempts: asyncio.Queue[FakeConnection] = asyncio.Queue()
        self.failures: list[Exception] = []

    async def open(self) -> Connection:
        """A new connection; raises the next failure, if there is one."""
        if self.failures:
            raise self.failures.pop(0)
        connection = FakeConnection()
        self._attempts.put_nowait(connection)
        return connection

    async def connection(self) -> FakeConnection:
        """The connection of the next attempt."""
        async with asyncio.timeout(patient(5.0)):
            return await self._attempts.get()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """The connections that clients make."""
    fake = Network()

    async def fake_open(_connector: Connector, _session: aiohttp.ClientSession) -> Connection:
        return await fake.open()

    monkeypatch.setattr(Connector, "open", fake_open)
    return fake


Make = Callable[..., Client]


@pytest.fixture
async def make(network: Network) -> AsyncIterator[Make]:
    """Makes started clients; they are closed after the test."""
    async with AsyncExitStack() as stack:

        def make_one(**options: Any) -> Client:
            client = Client(URL, **{**QUICK, **options})
            client.start()
            stack.push_async_callback(client.close)
            return client

        yield make_one


async def join(
    client: Client, connection: FakeConnection, topic: str = "room:a", response: Any = None
) -> ClientChannel:
    """A channel that the server has accepted."""
    channel = client.channel(topic)
    joining = asyncio.ensure_future(channel.join())
    await connection.accept(response)
    await joining
    return channel
