"""The token bucket, at times that the test chooses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.worker.token_bucket import TokenBucket


class Time:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_full_bucket_gives_its_burst_at_once(time: Time) -> None:
    """Then one comes back after each interval."""
    bucket = TokenBucket(2.0, 3.0, time)

    waits_s = [bucket.reserve() for _ in range(5)]

    assert waits_s == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_waiting_fills_it_to_the_brim_and_no_further(time: Time) -> None:
    """An idle hour is no credit for a storm."""
    bucket = TokenBucket(2.0, 3.0, time)
    for _ in range(3):
        bucket.take()

    time.s = 3_600.0

    assert [bucket.reserve() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_the_wait_it_asks_for_is_enough(time: Time) -> None:
    """Who waits as told may take, whatever floats make of it."""
    bucket = TokenBucket(0.095, 1.0, time)
    for _ in range(50):
        time.s += bucket.wait_s()
        assert bucket.wait_s() == 0.0
        bucket.take()


def test_a_shut_bucket_opens_with_one(time: Time) -> None:
    """After a pause one may go, and the next at the usual pace."""
    bucket = TokenBucket(10.0, 10.0, time)

    bucket.shut_for(30.0)

    assert bucket.reserve() == 30.0
    assert bucket.reserve() == pytest.approx(30.1)


def test_the_longest_pause_counts(time: Time) -> None:
    """A shorter one that is asked for later ends nothing early."""
    bucket = TokenBucket(10.0, 10.0, time)
    bucket.shut_for(30.0)
    time.s = 5.0

    bucket.shut_for(1.0)

    assert bucket.wait_s() == pytest.approx(25.0)


def test_a_lower_rate_takes_the_surplus_away(time: Time) -> None:
    """What was saved at the old rate does not count at the new one."""
    bucket = TokenBucket(10.0, 10.0, time)

    bucket.set_rate(0.1, 1.0)

    assert [bucket.reserve(), bucket.reserve()] == [0.0, pytest.approx(10.0)]
    assert bucket.per_s == 0.1


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_never_more_than_burst_and_rate(pauses_s: list[float]) -> None:
    """In any stretch of time no more are taken than the rate gives, and the burst once."""
    time = Time()
    bucket = TokenBucket(2.0, 4.0, time)
    taken_at_s = []
    for pause_s in pauses_s:
        time.s += pause_s
        if bucket.wait_s() == 0.0:
            bucket.take()
            taken_at_s.append(time.s)

    for first, start_s in enumerate(taken_at_s):
        for count, end_s in enumerate(taken_at_s[first:], start=1):
            assert count <= 4.0 + 2.0 * (end_s - start_s) + 1e-6
