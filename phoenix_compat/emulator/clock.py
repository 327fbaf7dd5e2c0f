"""The emulator's clock, which a test can stop, advance and speed up. It never waits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime


class EmulatorClock:
    """Unix time that starts at the real time and can then run at another speed.

    Args:
        source: returns the real unix time in seconds; a test may pass its own.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._anchor_s = source()
        self._reading_s = self._anchor_s
        self._factor = 1.0
        self._listeners: list[Callable[[], None]] = []

    @property
    def factor(self) -> float:
        """How many emulated seconds pass in a real second; 0 means that the clock is stopped."""
        return self._factor

    def now_s(self) -> float:
        """The emulated unix time in seconds."""
        return self._reading_s + (self._source() - self._anchor_s) * self._factor

    def advance(self, seconds: float) -> None:
        """Jump forward. Raises ValueError when `seconds` is negative."""
        if seconds < 0:
            raise ValueError(f"the clock cannot go back: advance must be 0 or more, not {seconds}")
        self._set(self.now_s() + seconds, self._factor)

    def scale(self, factor: float) -> None:
        """Run `factor` times as fast as real time from now on; 0 stops the clock.

        Raises:
            ValueError: the factor is negative or not finite.
        """
        if not 0 <= factor < math.inf:
            raise ValueError(f"the scale of the clock must be finite and 0 or more, not {factor}")
        self._set(self.now_s(), factor)

    def real_seconds_until(self, at_s: float) -> float:
        """Real seconds until `at_s`: 0 when it has passed, inf when the clock is stopped."""
        left_s = at_s - self.now_s()
        if left_s <= 0:
            return 0.0
        return left_s / self._factor if self._factor else math.inf

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each jump and each change of speed."""
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
    # Rounded, not truncated: the float of 27.921 may be slightly less than 27.921.
    whole_s, fraction = divmod(round(at_s * 10**digits), 10**digits)
    moment = datetime.fromtimestamp(whole_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:0{digits}d}Z"


def parse_timestamp(text: str) -> float:
    """Unix seconds of an ISO 8601 text; one without a zone is taken as UTC.

    Raises:
        ValueError: the text is not an ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
