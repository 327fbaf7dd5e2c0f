"""The token bucket, with a clock that the tests set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.worker.token_bucket import TokenBucket


class Time:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_full_bucket_gives_its_burst_at_once(time: Time) -> None:
    """After the burst, one token is available after each interval."""
    bucket = TokenBucket(2.0, 3.0, time)

    waits_s = [bucket.reserve() for _ in range(5)]

    assert waits_s == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_an_idle_bucket_holds_no_more_than_its_burst(time: Time) -> None:
    """After an idle hour only the burst is available at once."""
    bucket = TokenBucket(2.0, 3.0, time)
    for _ in range(3):
        bucket.take()

    time.s = 3_600.0

    assert [bucket.reserve() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_the_returned_wait_is_enough(time: Time) -> None:
    """After the wait a token is available, in spite of rounding errors."""
    bucket = TokenBucket(0.095, 1.0, time)
    for _ in range(50):
        time.s += bucket.wait_s()
        assert bucket.wait_s() == 0.0
        bucket.take()


def test_a_shut_bucket_opens_with_one_token(time: Time) -> None:
    """After a pause one token is available, and further ones at the usual rate."""
    bucket = TokenBucket(10.0, 10.0, time)

    bucket.shut_for(30.0)

    assert bucket.reserve() == 30.0
    assert bucket.reserve() == pytest.approx(30.1)


def test_the_longest_pause_counts(time: Time) -> None:
    """A later, shorter pause does not end a longer one early."""
    bucket = TokenBucket(10.0, 10.0, time)
    bucket.shut_for(30.0)
    time.s = 5.0

    bucket.shut_for(1.0)

    assert bucket.wait_s() == pytest.approx(25.0)


def test_a_lower_burst_drops_the_surplus(time: Time) -> None:
    """Tokens beyond the new burst are gone."""
    bucket = TokenBucket(10.0, 10.0, time)

    bucket.set_rate(0.1, 1.0)

    assert [bucket.reserve(), bucket.reserve()] == [0.0, pytest.approx(10.0)]
    assert bucket.per_s == 0.1


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_never_more_than_burst_and_rate(pauses_s: list[float]) -> None:
    """In any period at most the burst, and what the rate adds in that period, can be taken."""
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
