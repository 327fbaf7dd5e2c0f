"""When a delivery that failed is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from phoenix_compat.tasks.outgoing.backoff import RETRIED_FOR, next_attempt

FIRST = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


def attempts_of(spread: float) -> list[datetime]:
    """When the attempts are, if each of them fails at once."""
    at: list[datetime] = [FIRST]
    while (following := next_attempt(len(at), FIRST, at[-1], spread=spread)) is not None:
        at.append(following)
    return at


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_last_attempt_is_a_day_after_the_first(spread: float) -> None:
    """The pauses grow from 5 seconds to 4 hours; then it is given up."""
    attempts = attempts_of(spread)
    pauses_s = [(later - earlier).total_seconds() for earlier, later in pairwise(attempts)]

    assert attempts[-1] - FIRST == RETRIED_FOR
    assert pauses_s[0] == 5 * (1 + 0.2 * spread)
    assert pauses_s[:-1] == sorted(pauses_s[:-1])
    assert max(pauses_s) <= 14_400 * 1.2
    assert 10 <= len(attempts) <= 16


def test_the_receiver_is_left_alone_as_long_as_it_wants() -> None:
    """But not beyond the day."""
    assert next_attempt(1, FIRST, FIRST, spread=0.0, least_s=60.0) == FIRST + timedelta(minutes=1)
    late = FIRST + RETRIED_FOR - timedelta(seconds=30)
    assert next_attempt(9, FIRST, late, spread=0.0, least_s=60.0) == FIRST + RETRIED_FOR
