"""Time in which this node could have heard the others."""

from __future__ import annotations

import asyncio


class AttendedClock:
    """Seconds in which this process could listen.

    Between two ticks at most `max_step_s` pass. So a process that was stopped, or a loop that was
    blocked, does not take what it has not read yet for silence.
    """

    def __init__(self, max_step_s: float) -> None:
        self.now = 0.0
        self._max_step_s = max_step_s
        self._last = asyncio.get_running_loop().time()

    def tick(self) -> None:
        """Go on."""
        now = asyncio.get_running_loop().time()
        self.now += min(now - self._last, self._max_step_s)
        self._last = now
