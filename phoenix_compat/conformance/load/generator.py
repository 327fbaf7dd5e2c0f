"""Whether this program kept its own schedule: if it did not, slowness is not the server's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from phoenix_compat.conformance.load.histogram import Histogram

_TICK_S: Final = 0.02
_LATE_LOOP_S: Final = 0.05
"""If one wake-up in ten is later, the event loop does not keep up."""
_LATE_S: Final = 0.1
_LATE_SHARE: Final = 0.01
_BUSY: Final = 0.9
_SENT_SHARE: Final = 0.98


class Generator:
    """Measures the sending of messages.

    Args:
        clock: the time in seconds.
        work_clock: the processor time of this thread, in seconds.

    Attributes:
        late: how late messages were sent; what waited for the server to read does not count.
        late_count: how many of them were late by more than 100 ms.
        loop_late: how late the event loop woke up.
        planned: how many messages were due, on connections that were still there.
        sent: how many were sent.
        busy: the share of its time in which this thread computed.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        work_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.late = Histogram()
        self.late_count = 0
        self.loop_late = Histogram()
        self.planned = 0
        self.sent = 0
        self.busy = 0.0
        self._held_back = 0
        self._clock = clock
        self._work_clock = work_clock
        self._began = (0.0, 0.0)

    def begin(self) -> None:
        """Sending begins."""
        self._began = (self._clock(), self._work_clock())

    def end(self) -> None:
        """Sending has ended."""
        took_s = self._clock() - self._began[0]
        self.busy = (self._work_clock() - self._began[1]) / took_s if took_s > 0.0 else 0.0

    def record(self, late_s: float) -> None:
        """A message was sent, so late."""
        self.planned += 1
        self.sent += 1
        self.late.record(late_s)
        self.late_count += late_s > _LATE_S

    def skip(self, count: int, *, is_held_back: bool) -> None:
        """So many messages of a connection were due and were not sent.

        Args:
            is_held_back: whether one of them waited for the server to read.
        """
        self.planned += count
        self._held_back += count if is_held_back else 0

    async def watch_loop(self) -> None:
        """Measure how late the event loop wakes up, until cancelled."""
        while True:
            began_s = self._clock()
            await asyncio.sleep(_TICK_S)
            self.loop_late.record(self._clock() - began_s - _TICK_S)

    @property
    def held_back(self) -> int:
        """How many messages could not be sent because the server did not read."""
        return 0 if self._is_loop_late else self._held_back

    @property
    def problem(self) -> str | None:
        """Why the load was not the one asked for; None if it was, or would have been."""
        if not self.sent:
            return "no message was due; choose a higher rate or a longer time"
        if self.sent + self.held_back < _SENT_SHARE * self.planned:
            share = 100.0 * self.sent / self.planned
            return f"it sent only {share:.0f} % of the messages in time"
        if self.late_count > _LATE_SHARE * self.sent:
            share = 100.0 * self.late_count / self.sent
            return f"it sent {share:.0f} % of the messages more than 100 ms late"
        if self.busy > _BUSY:
            return f"it computed {100.0 * self.busy:.0f} % of the time"
        return None

    @property
    def _is_loop_late(self) -> bool:
        return self.loop_late.percentile_s(90.0) > _LATE_LOOP_S
