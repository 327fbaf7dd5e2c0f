"""A broker at work, and what has arrived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from phoenix_compat.cluster.brokers.broker import Broker
from tests.patience import patient


class BrokerClient:
    """Runs a broker once.

    Attributes:
        received: the subject and data of each message, in order.
        run: the task that runs it.
    """

    def __init__(self, broker: Broker, subjects: Sequence[str]) -> None:
        self.broker = broker
        self.received: list[tuple[str, bytes]] = []
        self._is_connected = asyncio.Event()
        self._has_received = asyncio.Event()
        self.run = asyncio.create_task(broker.run(subjects, self._receive, self._is_connected.set))

    async def wait_until_connected(self) -> None:
        """Return once it is connected; raise what `run` raises."""
        waiting = asyncio.create_task(self._is_connected.wait())
        async with asyncio.timeout(patient(10.0)):
            await asyncio.wait({waiting, self.run}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.run.done():
            self.run.result()

    async def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        """The messages that have arrived, once there are so many."""
        async with asyncio.timeout(patient(10.0)):
            while len(self.received) < count:
                self._has_received.clear()
                await self._has_received.wait()
        return self.received

    async def stop(self) -> None:
        """Cancel it, and wait for its end."""
        self.run.cancel()
        await asyncio.gather(self.run, return_exceptions=True)

    def _receive(self, subject: str, data: bytes) -> None:
        self.received.append((subject, data))
        self._has_received.set()


@asynccontextmanager
async def running(broker: Broker, *subjects: str) -> AsyncIterator[BrokerClient]:
    """A connected broker that subscribes to these subjects, for the time of the block."""
    await asyncio.to_thread(broker.load)
    client = BrokerClient(broker, subjects)
    try:
        await client.wait_until_connected()
        yield client
    finally:
        await client.stop()
