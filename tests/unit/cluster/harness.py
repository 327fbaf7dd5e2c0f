"""Buses in one process, over real Unix sockets, and what their nodes hear."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.cluster.bus import Bus, NodeListener
from tests.patience import patient

KIND = "news"
_PATIENCE_S = 10.0


class Ears(NodeListener):
    """Notes what one node hears and is told of, in order."""

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
        """What was heard or told next, waited for."""
        async with asyncio.timeout(patient(_PATIENCE_S)):
            return await self._notes.get()

    async def next_many(self, count: int) -> list[tuple[Any, ...]]:
        """The next so many."""
        return [await self.next() for _ in range(count)]

    @property
    def is_silent(self) -> bool:
        """Whether nothing more was heard."""
        return self._notes.empty()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="bus-") as name:
        yield Path(name)


@asynccontextmanager
async def nodes(folder: Path, size: int = 2, **options: Any) -> AsyncIterator[list[Ears]]:
    """So many nodes, each of which knows that all others are up."""
    async with AsyncExitStack() as stack:
        buses = [
            await stack.enter_async_context(Bus(folder, node, size, **options))
            for node in range(size)
        ]
        ears = [Ears(bus) for bus in buses]
        for one in ears:
            await one.next_many(size - 1)
        yield ears
