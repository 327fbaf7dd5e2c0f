"""One timer for the deadlines of many connections.

A deadline costs a place in a set instead of a timer of the event loop, and is met a tick late at
most. Whoever is due is asked when it wants to be asked again, so a deadline that moves on with
every message need not be moved here each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

TICK_S: Final = 1.0
CHECKS_PER_TURN: Final = 500
"""So many are checked before the event loop's other work gets its turn."""

T = TypeVar("T")


class TimerWheel(Generic[T]):
    """Calls `check` for each item at about its time; only while there are items is there a timer.

    Args:
        check: called with an item and the loop's time; returns when to check the item again, or
            None if it has left the wheel or shall leave it.
        tick_s: how coarse it is.
    """

    __slots__ = ("_check", "_slot_of", "_slots", "_tick_s", "_timer")

    def __init__(self, check: Callable[[T, float], float | None], tick_s: float = TICK_S) -> None:
        self._check = check
        self._tick_s = tick_s
        self._slots: dict[int, dict[T, None]] = {}
        self._slot_of: dict[T, int] = {}
        self._timer: asyncio.Handle | None = None

    def __contains__(self, item: T) -> bool:
        return item in self._slot_of

    def __len__(self) -> int:
        return len(self._slot_of)

    def put(self, item: T, at_s: float) -> None:
        """Check the item at this time of the loop's clock, instead of the time it had before."""
        slot = int(at_s / self._tick_s) + 1
        before = self._slot_of.get(item)
        if before == slot:
            return
        if before is not None:
            self._take(item, before)
        self._slot_of[item] = slot
        items = self._slots.get(slot)
        if items is None:
            items = self._slots[slot] = {}
        items[item] = None
        if self._timer is None:
            self._wait()

    def put_sooner(self, item: T, at_s: float) -> None:
        """The same, unless the item will be checked earlier anyway."""
        before = self._slot_of.get(item)
        if before is None or at_s < (before - 1) * self._tick_s:
            self.put(item, at_s)

    def remove(self, item: T) -> None:
        """Forget the item, if it is there."""
        slot = self._slot_of.pop(item, None)
        if slot is not None:
            self._take(item, slot)

    def close(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self._slot_of.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, item: T, slot: int) -> None:
        items = self._slots[slot]
        del items[item]
        if not items:
            del self._slots[slot]

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        next_s = (int(loop.time() / self._tick_s) + 1) * self._tick_s
        self._timer = loop.call_at(next_s, self._turn)

    def _turn(self) -> None:
        """Check those that are due; many of them in several turns of the loop."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        current = int(now_s / self._tick_s)
        left = CHECKS_PER_TURN
        try:
            for slot in sorted(slot for slot in self._slots if slot <= current):
                while items := self._slots.get(slot):
                    if not left:
                        self._timer = loop.call_soon(self._turn)
                        return
                    left -= 1
                    item = next(iter(items))
                    self.remove(item)
                    at_s = self._check(item, now_s)
                    if at_s is not None:
                        self.put(item, max(at_s, now_s + self._tick_s))
        finally:
            # Not in an else: an error of one check goes to the loop, and the others go on.
            if self._timer is None and self._slot_of:
                self._wait()
