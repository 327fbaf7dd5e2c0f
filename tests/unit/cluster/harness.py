"""Buses in one process, over real Unix sockets, and listeners that record their events."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.cluster.unix import UnixBus
from tests.patience import patient

KIND = "news"
_TIMEOUT_S = 10.0


class RecordingListener(NodeListener):
    """Records the casts and the events that one node gets, in order."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._notes: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        bus.on_cast(KIND, lambda node, body: self._notes.put_nowait((node, body)))
        bus.listen(self)

    def up(self, node: int) -> None:
        self._notes.put_nowait(("up", node))

    def gap(self, node: int) -> None:
        self._notes.put_nowait(("gap", node))

    def down(self, node: int) -> None:
        self._notes.put_nowait(("down", node))

    def roles_changed(self, node: int) -> None:
        self._notes.put_nowait(("role", node, self.bus.holder("cook")))

    async def next(self) -> tuple[Any, ...]:
        """Wait for the next event."""
        async with asyncio.timeout(patient(_TIMEOUT_S)):
            return await self._notes.get()

    async def next_many(self, count: int) -> list[tuple[Any, ...]]:
        """Wait for the next `count` events."""
        return [await self.next() for _ in range(count)]

    def take(self) -> tuple[Any, ...]:
        """The next event, which is there."""
        return self._notes.get_nowait()

    @property
    def is_empty(self) -> bool:
        """Whether all events were read."""
        return self._notes.empty()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a name that is short enough for socket paths."""
    with tempfile.TemporaryDirectory(prefix="bus-") as name:
        yield Path(name)


@asynccontextmanager
async def nodes(
    folder: Path, size: int = 2, **options: Any
) -> AsyncIterator[list[RecordingListener]]:
    """The listeners of `size` nodes, each of which knows that all others are up."""
    async with AsyncExitStack() as stack:
        buses = [
            await stack.enter_async_context(UnixBus(folder, node, size, **options))
            for node in range(size)
        ]
        listeners = [RecordingListener(bus) for bus in buses]
        for one in listeners:
            await one.next_many(size - 1)
        yield listeners
