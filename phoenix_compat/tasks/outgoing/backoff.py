"""When a delivery that failed is tried again: soon at first, then rarely, for a day. No I/O."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

RETRIED_FOR: Final = timedelta(days=1)
"""The last attempt is this long after the first one."""
_PAUSES_S: Final = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400)
"""The pauses after the first attempts; the last one repeats."""
_SPREAD: Final = 0.2
"""Pauses are up to this part longer, so that many deliveries do not come back at once."""


def next_attempt(
    attempts: int,
    first_attempt_at: datetime,
    now: datetime,
    *,
    spread: float,
    least_s: float = 0.0,
) -> datetime | None:
    """When to try again after a failed attempt; None to give up.

    Args:
        attempts: how many have failed, 1 or more.
        spread: a random number from 0 to 1.
        least_s: how long the receiver wants to be left alone.
    """
    last_at = first_attempt_at + RETRIED_FOR
    if now >= last_at:
        return None
    pause_s = _PAUSES_S[min(attempts, len(_PAUSES_S)) - 1] * (1 + _SPREAD * spread)
    return min(now + timedelta(seconds=max(pause_s, least_s)), last_at)
