"""Nodes of tests on a MemoryServer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from phoenix_compat.cluster.brokers import BrokerBus
from tests.patience import patient
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer
from tests.unit.cluster.harness import RecordingListener

BEAT_S = 0.03


class Node:
    """One node of a test, with what it hears."""

    def __init__(self, server: MemoryServer, **options: Any) -> None:
        payload = options.pop("max_payload_bytes", 2**20)
        self.broker = MemoryBroker(server, max_payload_bytes=payload)
        self.bus = BrokerBus(self.broker, **{"heartbeat_s": BEAT_S} | options)
        self.listener: RecordingListener

    async def open(self) -> None:
        """Open the bus, and listen."""
        await self.bus.__aenter__()
        self.listener = RecordingListener(self.bus)

    async def next(self) -> tuple[Any, ...]:
        """The next event."""
        return await self.listener.next()


@asynccontextmanager
async def nodes(
    count: int = 2, server: MemoryServer | None = None, **options: Any
) -> AsyncIterator[list[Node]]:
    """Nodes that know each other."""
    server = server or MemoryServer()
    async with AsyncExitStack() as stack:
        opened = [Node(server, **options) for _ in range(count)]
        for node in opened:
            await node.open()
            stack.push_async_callback(node.bus.__aexit__)
        for node in opened:
            ups = [await node.next() for _ in range(count - 1)]
            assert {up for up, _ in ups} == ({"up"} if ups else set())
        yield opened


async def until(is_so: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(patient(limit_s)):
        while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.002)
