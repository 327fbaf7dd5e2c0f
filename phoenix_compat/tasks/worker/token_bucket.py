"""A token bucket: a rate per second and a burst. No I/O; the clock is passed in."""

from __future__ import annotations

from collections.abc import Callable

_ALMOST_ONE = 1.0 - 1e-9
"""Rounding may leave the bucket just below one after a wait of exactly the returned length."""


class TokenBucket:
    """Full at first. One owner takes what is there, or several reserve what will be there.

    Args:
        per_s: how fast it fills.
        burst: how much it holds.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, per_s: float, burst: float, now: Callable[[], float]) -> None:
        self._now = now
        self._per_s = per_s
        self._burst = burst
        self._level = burst
        self._level_at_s = now()

    @property
    def per_s(self) -> float:
        """How fast it fills."""
        return self._per_s

    def wait_s(self) -> float:
        """Seconds until one may be taken; 0.0 when it may be taken now."""
        self._fill()
        # A bucket that is shut has its level dated to the moment when it opens.
        shut_s = max(self._level_at_s - self._now(), 0.0)
        lacking = 0.0 if self._level >= _ALMOST_ONE else 1.0 - self._level
        return shut_s + lacking / self._per_s

    def take(self) -> None:
        """Take one, whether it is there or not."""
        self._fill()
        self._level -= 1.0

    def reserve(self) -> float:
        """Take the next one that nobody has reserved; how many seconds until it is there."""
        wait_s = self.wait_s()
        self.take()
        return wait_s

    def shut_for(self, wait_s: float) -> None:
        """Give nothing for so many seconds from now, then one, then at the usual rate."""
        self._fill()
        opens_at_s = self._now() + wait_s
        if opens_at_s >= self._level_at_s:
            self._level_at_s = opens_at_s
            self._level = 1.0

    def set_rate(self, per_s: float, burst: float) -> None:
        """Fill at another rate and up to another burst from now on."""
        self._fill()
        self._per_s = per_s
        self._burst = burst
        self._level = min(self._level, burst)

    def _fill(self) -> None:
        elapsed_s = self._now() - self._level_at_s
        if elapsed_s > 0:
            self._level = min(self._level + elapsed_s * self._per_s, self._burst)
            self._level_at_s += elapsed_s
