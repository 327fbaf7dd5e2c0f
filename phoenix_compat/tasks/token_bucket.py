"""A token bucket: limits a rate per second and a burst. No I/O; the clock is passed in."""

from __future__ import annotations

from collections.abc import Callable

_ALMOST_ONE = 1.0 - 1e-9
"""Rounding may leave the level just below one after a wait of exactly the returned length."""


class TokenBucket:
    """A bucket that is full at first.

    A single user waits for `wait_s` and then calls `take`. Several users call `reserve`, and each
    waits as long as it returns; or, if they must not wait, `try_take`.

    Args:
        per_s: how many tokens are added per second.
        burst: how many tokens it holds.
        now: a monotonic clock, in seconds.
    """

    __slots__ = ("_burst", "_level", "_level_at_s", "_now", "_per_s")

    def __init__(self, per_s: float, burst: float, now: Callable[[], float]) -> None:
        self._now = now
        self._per_s = per_s
        self._burst = burst
        self._level = burst
        self._level_at_s = now()

    @property
    def per_s(self) -> float:
        """How many tokens are added per second."""
        return self._per_s

    @property
    def level(self) -> float:
        """How many tokens it holds now; below zero, how many are reserved beyond them."""
        self._fill()
        return self._level

    def wait_s(self) -> float:
        """Seconds until a token is available; 0.0 when one is available now."""
        # While the bucket is shut, `_level_at_s` is in the future: the time when it opens.
        shut_s = self._fill()
        if self._level >= _ALMOST_ONE:
            return shut_s
        return shut_s + (1.0 - self._level) / self._per_s

    def take(self) -> None:
        """Take a token, even if none is available yet."""
        self._fill()
        self._level -= 1.0

    def try_take(self) -> float:
        """Take a token, or return the seconds until one is available; 0.0 if it was taken."""
        elapsed_s = self._now() - self._level_at_s
        level = self._level + elapsed_s * self._per_s
        if elapsed_s > 0.0 and level >= _ALMOST_ONE:  # nearly always: each request comes here
            self._level = (level if level < self._burst else self._burst) - 1.0
            self._level_at_s += elapsed_s
            return 0.0
        wait_s = self.wait_s()
        if wait_s == 0.0:
            self._level -= 1.0
        return wait_s

    def reserve(self) -> float:
        """Take the next token that is not reserved; returns the seconds until it is available."""
        wait_s = self.wait_s()
        self.take()
        return wait_s

    def shut_for(self, wait_s: float) -> None:
        """Give no token for `wait_s` seconds; then one, and further ones at the usual rate."""
        self._fill()
        opens_at_s = self._now() + wait_s
        if opens_at_s >= self._level_at_s:
            self._level_at_s = opens_at_s
            self._level = 1.0

    def set_rate(self, per_s: float, burst: float) -> None:
        """Change the rate and the burst from now on; tokens beyond the new burst are dropped."""
        self._fill()
        self._per_s = per_s
        self._burst = burst
        self._level = min(self._level, burst)

    @property
    def filled(self) -> tuple[float, float]:
        """The tokens that it holds, and since when; a time to come is when it opens."""
        self._fill()
        return self._level, self._level_at_s

    def refill(self, level: float, level_at_s: float) -> None:
        """Take over what `filled` returned, here or elsewhere."""
        self._level, self._level_at_s = min(level, self._burst), level_at_s

    @property
    def burst(self) -> float:
        """How many tokens it holds at most."""
        return self._burst

    def _fill(self) -> float:
        """Add the tokens that have come since the last time; returns how long it is still shut."""
        elapsed_s = self._now() - self._level_at_s
        if elapsed_s <= 0.0:
            return -elapsed_s
        level = self._level + elapsed_s * self._per_s
        self._level = level if level < self._burst else self._burst
        self._level_at_s += elapsed_s
        return 0.0
