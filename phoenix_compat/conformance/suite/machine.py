"""How slow this machine is now: the speed of its processor, and how late the event loop wakes up.

It knows nothing of servers; `pace` does. The tests' own time limits use it, too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final

_REFERENCE_S: Final = 0.008
"""What the work below takes on the machine for which time limits are written."""
_ROUNDS: Final = 100_000

_LONG_WORK_S: Final = 0.1
"""Longer than what the scheduler lends to a process that has slept."""

_TICK_S: Final = 0.05
_KEPT: Final = 40
"""Wake-ups that count: those of the last two seconds."""


@cache
def processor_slowness() -> float:
    """How many times longer work takes than on a usual processor; measured once, best of three."""
    return min(_work_s() for _ in range(3)) / _REFERENCE_S


def _work_s() -> float:
    """The processor time of a little work, which other processes do not lengthen."""
    began_s = time.thread_time()
    total = 0
    for number in range(_ROUNDS):
        total += number * number % 7
    return time.thread_time() - began_s


async def crowding() -> float:
    """How many times longer long work takes because other processes want the processors.

    A process that has slept is woken in time even on a crowded machine, so neither the event loop
    nor heartbeats show this. Work that goes on, as when a server formats a crash, gets its share
    only.
    """
    return await asyncio.to_thread(_crowding)


def _crowding() -> float:
    began_s, worked_s = time.perf_counter(), time.thread_time()
    while time.thread_time() - worked_s < _LONG_WORK_S:
        _work_s()
    return max((time.perf_counter() - began_s) / (time.thread_time() - worked_s), 1.0)


class LoopLateness:
    """How late the event loop wakes up because other processes have the processors.

    What this thread computes itself does not count.

    Args:
        clock: the time in seconds.
        work_clock: the processor time of this thread, in seconds.
        sleep: waits for some seconds of the clock.

    Attributes:
        on_sample: called with the seconds of each wake-up.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work_clock: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._work_clock = work_clock
        self._sleep = sleep
        self._recent_s: deque[float] = deque(maxlen=_KEPT)
        self.on_sample: Callable[[float], None] = lambda _late_s: None

    @property
    def worst_s(self) -> float:
        """The latest of the recent wake-ups; 0.0 if there was none."""
        return max(self._recent_s, default=0.0)

    async def sample(self, tick_s: float = _TICK_S) -> None:
        """Sleep once, and record how late the loop was."""
        began_s, worked_s = self._clock(), self._work_clock()
        await self._sleep(tick_s)
        late_s = self._clock() - began_s - tick_s
        late_s = max(late_s - (self._work_clock() - worked_s), 0.0)
        self._recent_s.append(late_s)
        self.on_sample(late_s)

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            await self.sample()
