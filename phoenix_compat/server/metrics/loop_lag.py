"""Measures how late the event loop runs what is due."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from phoenix_compat.measures import Histogram

INTERVAL_S: Final = 0.5
_BOUNDS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_RECENT: Final = 20


class LoopLag:
    """Sets a timer twice a second, and counts by how much it is late.

    Attributes:
        lags: the lags in seconds since the start.
    """

    def __init__(self) -> None:
        self.lags = Histogram(_BOUNDS_S)
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def recent_s(self) -> float:
        """The largest lag of the last ten seconds."""
        return max(self._recent, default=0.0)

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._set(asyncio.get_running_loop())

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = loop.time() + INTERVAL_S
        self._timer = loop.call_at(due_s, self._ring, loop, due_s)

    def _ring(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        lag_s = max(loop.time() - due_s, 0.0)
        self.lags.observe(lag_s)
        self._recent.append(lag_s)
        self._set(loop)
