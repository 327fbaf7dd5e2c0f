"""A rate limit (token bucket) on the emulator's clock."""

from __future__ import annotations

import math

from phoenix_compat.emulator.problem import throttled


class RateLimit:
    """A token bucket.

    Args:
        per_minute: how many tokens are added per minute.
        burst: the capacity.
        now_s: the time at which the bucket is full.
    """

    def __init__(self, per_minute: int, burst: int, now_s: float) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._level = float(burst)
        self._level_at_s = now_s

    def take(self, now_s: float) -> None:
        """Take one token. Raises ProblemError (429) when there is none; nothing is taken then."""
        self._fill(now_s)
        if self._level < 1:
            wait_s = max(math.ceil((1 - self._level) / self._per_second), 1)
            raise throttled(wait_s)
        self._level -= 1

    def headers(self, now_s: float) -> dict[str, str]:
        """`ratelimit-remaining` and `ratelimit-reset` (seconds until the bucket is full)."""
        self._fill(now_s)
        reset_s = math.ceil((self._burst - self._level) / self._per_second)
        return {"ratelimit-remaining": str(int(self._level)), "ratelimit-reset": str(reset_s)}

    def _fill(self, now_s: float) -> None:
        refilled = self._level + (now_s - self._level_at_s) * self._per_second
        self._level = min(refilled, self._burst)
        self._level_at_s = now_s
