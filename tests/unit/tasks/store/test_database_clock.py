"""The clock that follows the one of a shared database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from phoenix_compat.tasks.model.clock import stored_time
from phoenix_compat.tasks.store.postgres.clock import MAX_ROUND_TRIP_S, DatabaseClock
from phoenix_compat.tasks.store.postgres.values import decode_time, encode_time

THERE = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)


def off_by(clock: DatabaseClock, at: datetime) -> float:
    return abs((clock.now() - at).total_seconds())


def test_before_any_answer_it_is_the_time_of_the_machine() -> None:
    """A server that opens its database needs a clock already."""
    assert off_by(DatabaseClock(), datetime.now(UTC)) < 1.0


def test_it_has_the_time_of_the_database_in_the_middle_of_the_round_trip() -> None:
    """And goes on with the monotonic clock, however the machine's time is set."""
    clock = DatabaseClock()
    now_s = time.monotonic()

    clock.take(stored_time(THERE), now_s - 0.2, now_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: 0.0)
        assert off_by(clock, THERE + timedelta(seconds=0.1)) < 1.0

    assert clock.skew_s == pytest.approx(time.time() - clock.now().timestamp(), abs=1.0)


def test_an_answer_that_took_long_changes_nothing() -> None:
    """It may have been written at any time meanwhile."""
    clock = DatabaseClock()
    now_s = time.monotonic()
    clock.take(stored_time(THERE), now_s, now_s)

    clock.take(stored_time(THERE + timedelta(hours=1)), now_s - MAX_ROUND_TRIP_S - 0.1, now_s)

    assert off_by(clock, THERE) < 1.0


@pytest.mark.parametrize(
    "text",
    ["2026-01-05T10:00:00.000Z", "1970-01-01T00:00:00.001Z", "9999-12-31T23:59:59.999Z"],
)
def test_times_are_the_same_texts_after_a_round_trip(text: str) -> None:
    """As microseconds since 2000, as PostgreSQL has them."""
    assert decode_time(encode_time(text)) == text


def test_the_database_may_know_more_than_milliseconds() -> None:
    """`now()` has microseconds; the texts are cut, as those of SQLite are."""
    [number] = encode_time("2026-01-05T10:00:00.000Z")

    assert decode_time((number + 999,)) == "2026-01-05T10:00:00.000Z"
