"""The table of token buckets: one bucket for each key, and which it drops when it is full."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from phoenix_compat.server.rates.bucket_table import BucketTable
from tests.unit.tasks.test_token_bucket import Time

BURST = 10


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def table(time: Time) -> BucketTable:
    """One token a second, ten at once, and room for a hundred keys."""
    return BucketTable(1.0, float(BURST), time, max_buckets=100)


def empty(table: BucketTable, key: str) -> None:
    for _ in range(BURST):
        table.take(key)


def test_each_key_has_its_own_bucket(table: BucketTable) -> None:
    """One key used its burst and waits for a second; another need not wait."""
    empty(table, "a")

    assert (table.wait_s("a"), table.wait_s("b")) == (1.0, 0.0)


def test_a_token_comes_back_with_time(table: BucketTable, time: Time) -> None:
    """After the wait there is one token, and no second one."""
    empty(table, "a")
    time.s = table.wait_s("a")

    first = table.wait_s("a")
    table.take("a")

    assert (first, table.wait_s("a")) == (0.0, 1.0)


def test_it_never_has_more_buckets_than_it_may(table: BucketTable) -> None:
    """A thousand keys at one moment leave a hundred buckets."""
    for number in range(1_000):
        table.take(f"key-{number}")

    assert len(table) == 100


def test_buckets_that_are_full_again_are_dropped(table: BucketTable, time: Time) -> None:
    """After a minute, each new key takes the place of two that say nothing any more."""
    for number in range(100):
        table.take(f"old-{number}")
    time.s = 60.0

    for number in range(50):
        table.take(f"new-{number}")

    assert len(table) == 50


def test_ever_new_keys_do_not_push_an_empty_bucket_out(table: BucketTable) -> None:
    """Whoever emptied a bucket cannot have it forgotten by using thousands of other keys once."""
    empty(table, "guesser")

    for number in range(10_000):
        table.take(f"key-{number}")

    assert table.wait_s("guesser") == 1.0


@pytest.mark.parametrize("use", [BucketTable.wait_s, BucketTable.try_take])
def test_a_bucket_in_use_stays_among_new_keys(
    table: BucketTable, use: Callable[[BucketTable, str], float]
) -> None:
    """A key that is used all the time keeps its bucket, however many others come."""
    empty(table, "busy")

    waits_s = set()
    for number in range(10_000):
        waits_s.add(use(table, "busy"))
        empty(table, f"key-{number}")

    assert waits_s == {1.0}
