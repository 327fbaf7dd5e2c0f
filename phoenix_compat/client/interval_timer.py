"""One timer of the event loop for the heartbeats of all clients with the same interval."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

CALLS_PER_TURN: Final = 200
"""So many clients beat before the event loop's other work gets its turn."""


class Beat:
    """One call that is due; cancel it, or it happens once."""

    __slots__ = ("at_s", "callback")

    def __init__(self, at_s: float, callback: Callable[[], None]) -> None:
        self.at_s = at_s
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call."""
        self.callback = None


class IntervalTimer:
    """Calls back after the interval, each time for everyone.

    What was added first is due first, because the interval is the same for all, so a deque and one
    timer are enough.
    """

    __slots__ = ("__weakref__", "_beats", "_interval_s", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float) -> None:
        self.loop = loop
        self._interval_s = interval_s
        self._beats: deque[Beat] = deque()
        self._timer: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._beats)

    def add(self, callback: Callable[[], None]) -> Beat:
        """Call the callback once, after the interval."""
        beat = Beat(self.loop.time() + self._interval_s, callback)
        self._beats.append(beat)
        if self._timer is None:
            self._timer = self.loop.call_at(beat.at_s, self._run)
        return beat

    def _run(self) -> None:
        now_s = self.loop.time()
        calls = 0
        try:
            while self._beats and calls < CALLS_PER_TURN:
                callback = self._beats[0].callback
                if callback is not None and self._beats[0].at_s > now_s:
                    break
                self._beats.popleft()
                if callback is not None:
                    calls += 1
                    callback()
        finally:
            self._timer = None
            if self._beats:  # at once, if there were more than one turn calls
                self._timer = self.loop.call_at(self._beats[0].at_s, self._run)


_timers: Final[WeakValueDictionary[tuple[int, float], IntervalTimer]] = WeakValueDictionary()


def interval_timer(interval_s: float) -> IntervalTimer:
    """The timer of the running loop for this interval; it lives as long as somebody keeps it."""
    loop = asyncio.get_running_loop()
    timer = _timers.get((id(loop), interval_s))
    if timer is None or timer.loop is not loop:  # an id may be that of a loop that is gone
        timer = _timers[id(loop), interval_s] = IntervalTimer(loop, interval_s)
    return timer
