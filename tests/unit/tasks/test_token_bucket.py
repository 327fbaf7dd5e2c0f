"""The token bucket, with a clock that the tests set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.token_bucket import TokenBucket


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_full_bucket_allows_a_burst(time: Time) -> None:
    """After the burst one token is added in each interval."""
    bucket = TokenBucket(2.0, 3.0, time)

    waits_s = [bucket.reserve() for _ in range(5)]

    assert waits_s == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_waiting_fills_the_bucket_up_to_its_size(time: Time) -> None:
    """After an idle hour the bucket allows one burst, not more."""
    bucket = TokenBucket(2.0, 3.0, time)
    for _ in range(3):
        bucket.take()

    time.s = 3_600.0

    assert [bucket.reserve() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_the_returned_wait_is_enough(time: Time) -> None:
    """After the returned wait a token is available, in spite of rounding."""
    bucket = TokenBucket(0.095, 1.0, time)
    for _ in range(50):
        time.s += bucket.wait_s()
        assert bucket.wait_s() == 0.0
        bucket.take()


def test_after_a_pause_there_is_one_token(time: Time) -> None:
    """After a pause one token is available, and the next ones at the usual rate."""
    bucket = TokenBucket(10.0, 10.0, time)

    bucket.shut_for(30.0)

    assert bucket.reserve() == 30.0
    assert bucket.reserve() == pytest.approx(30.1)


def test_the_longest_pause_applies(time: Time) -> None:
    """A later, shorter pause does not end a longer one."""
    bucket = TokenBucket(10.0, 10.0, time)
    bucket.shut_for(30.0)
    time.s = 5.0

    bucket.shut_for(1.0)

    assert bucket.wait_s() == pytest.approx(25.0)


def test_a_lower_rate_removes_surplus_tokens(time: Time) -> None:
    """Tokens beyond the new burst are dropped."""
    bucket = TokenBucket(10.0, 10.0, time)

    bucket.set_rate(0.1, 1.0)

    assert [bucket.reserve(), bucket.reserve()] == [0.0, pytest.approx(10.0)]
    assert bucket.per_s == 0.1


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_never_more_than_burst_and_rate(pauses_s: list[float]) -> None:
    """In any period at most the burst and the tokens of the rate are taken."""
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


def test_a_token_is_taken_only_if_there_is_one(time: Time) -> None:
    """Whoever comes too early takes nothing, and learns when to come back."""
    bucket = TokenBucket(2.0, 2.0, time)

    waits_s = [bucket.try_take() for _ in range(4)]
    time.s = 0.5

    assert waits_s == [0.0, 0.0, 0.5, 0.5]
    assert bucket.try_take() == 0.0


def test_the_level_is_what_is_left_now(time: Time) -> None:
    """It falls with each token, below zero too, and rises with the clock up to the burst."""
    bucket = TokenBucket(2.0, 3.0, time)

    for _ in range(4):
        bucket.take()
    owed = bucket.level
    time.s = 1.0
    later = bucket.level
    time.s = 60.0

    assert (owed, later, bucket.level) == (-1.0, 1.0, 3.0)
