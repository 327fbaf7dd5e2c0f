"""Two nodes on a broker that fails, and a record of what one hears of the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.node_listener import NodeListener
from tests.patience import patient

KIND: Final = "number"
CAST_EVERY_S: Final = 0.01


class Hearing(NodeListener):
    """What a node hears: numbers, and that it may have missed some.

    Attributes:
        events: the numbers of the other node in order, and "up", "down" and "gap".
    """

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.events: list[int | str] = []
        self._changed = asyncio.Event()
        bus.on_cast(KIND, lambda _node, body: self._add(int(body)))
        bus.listen(self)

    def up(self, node: int) -> None:
        """See NodeListener."""
        del node
        self._add("up")

    def gap(self, node: int) -> None:
        """See NodeListener."""
        del node
        self._add("gap")

    def down(self, node: int) -> None:
        """See NodeListener."""
        del node
        self._add("down")

    def _add(self, event: int | str) -> None:
        self.events.append(event)
        self._changed.set()

    async def hears(self, number: int, limit_s: float) -> None:
        """Return once a number from this one on is heard."""
        seen = len(self.events)
        async with asyncio.timeout(patient(limit_s)):
            while True:
                for event in self.events[seen:]:
                    if isinstance(event, int) and event >= number:
                        return
                seen = len(self.events)
                self._changed.clear()
                await self._changed.wait()

    def unknown_losses(self) -> list[int]:
        """The numbers after which others are missing, and this node was not told."""
        losses, last, may_miss = [], None, True
        for event in self.events:
            if isinstance(event, str):
                may_miss = True
            else:
                if not may_miss and last is not None and event != last + 1:
                    losses.append(last)
                last, may_miss = event, False
        return losses


class TwoNodes:
    """Two nodes that cast one number after the other.

    Attributes:
        hearings: what each hears of the other.
        sent: the last number that each of them has cast.
    """

    def __init__(self, one: Bus, two: Bus) -> None:
        self.hearings = (Hearing(one), Hearing(two))
        self.sent = 0

    async def cast_forever(self) -> None:
        """Cast numbers until cancelled."""
        while True:
            self.sent += 1
            for hearing in self.hearings:
                hearing.bus.cast(KIND, b"%d" % self.sent)
            await asyncio.sleep(CAST_EVERY_S)

    async def are_right(self, limit_s: float) -> None:
        """Return once both hear each other, and none is deaf."""
        number = self.sent + 1
        await asyncio.gather(*(hearing.hears(number, limit_s) for hearing in self.hearings))
        # Siblings may hear each other before they hear themselves.
        await self._until(limit_s, lambda: not any(one.bus.is_deaf for one in self.hearings))
        assert [hearing.unknown_losses() for hearing in self.hearings] == [[], []]

    async def are_deaf(self, limit_s: float) -> None:
        """Return once both know that they hear nothing."""
        await self._until(limit_s, lambda: all(one.bus.is_deaf for one in self.hearings))

    async def _until(self, limit_s: float, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(patient(limit_s)):
            while not is_so():  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.01)


@asynccontextmanager
async def two_nodes(make: Callable[[], Bus]) -> AsyncIterator[TwoNodes]:
    """Two nodes that hear each other."""
    async with make() as one, make() as two, asyncio.TaskGroup() as group:
        nodes = TwoNodes(one, two)
        casting = group.create_task(nodes.cast_forever())
        await nodes.are_right(10.0)
        yield nodes
        casting.cancel()
