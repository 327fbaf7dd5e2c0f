"""Lets clients that ask for the same thing at the same time share one read of it.

After a restart, all clients of a task join it at once, and each join needs the task's state. A read
that has begun may be older than what a client knows that asks now, so those who ask meanwhile share
the next one. However many ask, there are never more than two reads of a thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedReads(Generic[K, V]):
    """Shares reads by their keys.

    Args:
        read: reads the value of a key.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._waiting: dict[K, asyncio.Task[V]] = {}
        self._running: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        """How many keys are being read, or wait for it."""
        return len(self._waiting.keys() | self._running.keys())

    async def get(self, key: K) -> V:
        """The value, as a read finds it that begins now or later.

        Raises:
            Exception: whatever the read raised; all who share it get the same.
        """
        task = self._waiting.get(key)
        if task is None:
            task = asyncio.create_task(self._read_next(key), name="shared-read")
            task.add_done_callback(_retrieve)
            self._waiting[key] = task
        return await asyncio.shield(task)

    async def _read_next(self, key: K) -> V:
        own = self._waiting[key]
        if (running := self._running.get(key)) is not None:
            await asyncio.wait((running,))
        del self._waiting[key]
        self._running[key] = own
        try:
            return await self._read(key)
        finally:
            del self._running[key]


def _retrieve(task: asyncio.Task[V]) -> None:
    """All who have asked may be gone; nobody is to be told of an error then."""
    if not task.cancelled():
        task.exception()
