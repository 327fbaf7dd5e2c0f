"""Waits for what a client does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.patience import patient


class Seen:
    """The arguments of each call of a callback.

    Args:
        add: the method that adds a callback, such as `channel.on_join`.
    """

    def __init__(self, add: Callable[[Callable[..., object]], object]) -> None:
        self.values: list[tuple[Any, ...]] = []
        self._called = asyncio.Event()
        add(self._see)

    def _see(self, *values: Any) -> None:
        self.values.append(values)
        self._called.set()

    async def wait_for(self, count: int, timeout_s: float = 10.0) -> None:
        """Wait until there were so many calls."""
        async with asyncio.timeout(patient(timeout_s)):
            while len(self.values) < count:
                self._called.clear()
                await self._called.wait()


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a state of which no event tells."""
    async with asyncio.timeout(patient(timeout_s)):
        while not condition():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.005)
