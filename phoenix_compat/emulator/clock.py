"""The emulator's time, which a test can stop, push on and hurry; it waits for nothing itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime


class EmulatorClock:
    """Unix time that starts at the source's and may then run at another pace.

    Args:
        source: where real seconds come from; `time.time` unless a test brings its own.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._anchor_s = source()
        self._reading_s = self._anchor_s
        self._factor = 1.0
        self._listeners: list[Callable[[], None]] = []

    @property
    def factor(self) -> float:
        """How many emulated seconds pass in a real one; 0 is a stopped clock."""
        return self._factor

    def now_s(self) -> float:
        """The emulated unix time in seconds."""
        return self._reading_s + (self._source() - self._anchor_s) * self._factor

    def advance(self, seconds: float) -> None:
        """Jump forward. Raises ValueError for a negative jump: time never runs back."""
        if seconds < 0:
            raise ValueError(f"the clock cannot go back by {-seconds} s")
        self._set(self.now_s() + seconds, self._factor)

    def scale(self, factor: float) -> None:
        """Run `factor` times as fast as real time from now on; 0 stops the clock."""
        if not 0 <= factor < math.inf:
            raise ValueError(f"{factor} is no pace for a clock; it must be 0 or more, and finite")
        self._set(self.now_s(), factor)

    def real_seconds_until(self, at_s: float) -> float:
        """How long that is in real seconds: 0 when it has passed, inf when it will not come."""
        left_s = at_s - self.now_s()
        if left_s <= 0:
            return 0.0
        return left_s / self._factor if self._factor else math.inf

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each jump and each change of pace."""
        self._listeners.append(listener)

    def _set(self, reading_s: float, factor: float) -> None:
        self._reading_s = reading_s
        self._anchor_s = self._source()
        self._factor = factor
        for listener in self._listeners:
            listener()


def timestamp(at_s: float, digits: int = 3) -> str:
    """ISO 8601 in UTC with `Z` and this many digits of a second (3 to 9).

    >>> timestamp(1753845207.921)
    '2025-07-30T03:13:27.921Z'
    """
    # Rounded, not cut: as a float, 27.921 s may be a hair less than that.
    whole_s, fraction = divmod(round(at_s * 10**digits), 10**digits)
    moment = datetime.fromtimestamp(whole_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:0{digits}d}Z"


def parse_timestamp(text: str) -> float:
    """Unix seconds of an ISO 8601 text; one without a zone is taken as UTC.

    Raises:
        ValueError: it is no ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
