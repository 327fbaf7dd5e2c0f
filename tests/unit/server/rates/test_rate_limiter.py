"""The limits per address and per owner: whom they refuse, for how long, and whom they never do."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.server.process.settings.rates import RateSettings
from phoenix_compat.server.rates.rate_limiter import RateLimitedError, RateLimiter
from tests.unit.tasks.test_token_bucket import Time

CLIENTS = 10_000
TOPICS = 3
TAKES = [("take_create", "creates"), ("take_connect", "connects"), ("take_join", "joins")]


@pytest.fixture
def time() -> Time:
    return Time()


def limiter_of(time: Time, processes: int = 1, **rates: int) -> RateLimiter:
    """A limiter with these rates and no others."""
    off = {name: 0 for name in RateSettings.model_fields if name.endswith("_per_minute")}
    values: dict[str, Any] = {**off, **{f"{name}_per_minute": rate for name, rate in rates.items()}}
    return RateLimiter(RateSettings(**values), processes=processes, now_s=time)


def passed(attempt: Callable[[], None], times: int) -> int:
    """How many of so many attempts are not refused."""
    count = 0
    for _ in range(times):
        try:
            attempt()
        except RateLimitedError:
            continue
        count += 1
    return count


@pytest.mark.parametrize(("take", "rate"), TAKES)
def test_an_address_has_its_own_limit(time: Time, take: str, rate: str) -> None:
    """Five a minute of one address pass, whoever the owners are; another address is not touched."""
    limiter = limiter_of(time, **{f"address_{rate}": 5})
    attempt = getattr(limiter, take)

    assert passed(lambda: attempt("alice", "198.51.100.1"), 4) == 4
    assert passed(lambda: attempt("bob", "198.51.100.1"), 4) == 1
    assert passed(lambda: attempt("bob", "198.51.100.2"), 4) == 4


@pytest.mark.parametrize(("take", "rate"), TAKES)
def test_an_owner_has_its_own_limit(time: Time, take: str, rate: str) -> None:
    """Five a minute of one owner pass, from whatever addresses; another owner is not touched."""
    limiter = limiter_of(time, **{f"owner_{rate}": 5})
    attempt = getattr(limiter, take)

    assert passed(lambda: attempt("alice", "198.51.100.1"), 4) == 4
    assert passed(lambda: attempt("alice", None), 4) == 1
    assert passed(lambda: attempt("bob", "198.51.100.1"), 4) == 4


@pytest.mark.parametrize(("take", "rate"), TAKES)
def test_whoever_has_neither_owner_nor_address_is_not_limited(
    time: Time, take: str, rate: str
) -> None:
    """Without authentication everybody is the owner "", and local programs have no address."""
    limiter = limiter_of(time, **{f"owner_{rate}": 1, f"address_{rate}": 1})
    attempt = getattr(limiter, take)

    assert passed(lambda: attempt("", None), 100) == 100


def test_a_refusal_takes_no_token(time: Time) -> None:
    """What an owner's limit refuses does not count for the address it came from."""
    limiter = limiter_of(time, owner_creates=1, address_creates=3)

    refused = passed(lambda: limiter.take_create("alice", "198.51.100.1"), 100)

    assert refused == 1
    assert passed(lambda: limiter.take_create("bob", "198.51.100.1"), 1) == 1
    assert passed(lambda: limiter.take_create("carol", "198.51.100.1"), 1) == 1


def test_zero_turns_a_limit_off(time: Time) -> None:
    """With all rates at 0 nothing is refused, invalid credentials included."""
    limiter = limiter_of(time)

    for _ in range(1_000):
        limiter.credential_failed("198.51.100.1")

    limiter.check_credentials("198.51.100.1")
    for _ in range(1_000):
        limiter.take_create("alice", "198.51.100.1")
        limiter.take_connect("alice", "198.51.100.1")
        limiter.take_join("alice", "198.51.100.1")


def test_only_invalid_credentials_count(time: Time) -> None:
    """An address may send any number of valid ones; after five invalid ones it has to wait."""
    limiter = limiter_of(time, address_failed_credentials=5)

    for _ in range(100):
        limiter.check_credentials("198.51.100.1")
    for _ in range(5):
        limiter.check_credentials("198.51.100.1")
        limiter.credential_failed("198.51.100.1")

    with pytest.raises(RateLimitedError) as refused:
        limiter.check_credentials("198.51.100.1")
    assert refused.value.retry_after_s == 12
    limiter.check_credentials("198.51.100.2")
    limiter.credential_failed(None)
    limiter.check_credentials(None)


def test_the_error_says_who_was_too_fast_and_what_to_do(time: Time) -> None:
    """It names what was too much, the limit of the whole server, and when to try again."""
    limiter = limiter_of(time, processes=2, address_creates=4, owner_joins=2)
    limiter.take_join("alice", None)
    passed(lambda: limiter.take_create("", "198.51.100.1"), 3)

    with pytest.raises(PhoenixCompatError) as of_address:
        limiter.take_create("", "198.51.100.1")
    with pytest.raises(PhoenixCompatError) as of_owner:
        limiter.take_join("alice", None)

    assert str(of_address.value) == (
        "Too many tasks from this address: at most 4 a minute. Try again in 30 s."
    )
    assert str(of_owner.value) == (
        "Too many joins of this owner: at most 2 a minute. Try again in 60 s."
    )


@given(
    per_minute=st.integers(1, 1_000),
    processes=st.integers(1, 64),
    pauses_s=st.lists(st.floats(0.0, 30.0), max_size=20),
)
def test_retry_after_is_honest(per_minute: int, processes: int, pauses_s: list[float]) -> None:
    """Whenever a request is refused, it passes after as many seconds as the refusal says."""
    time = Time()
    limiter = limiter_of(time, processes=processes, address_joins=per_minute)

    for pause_s in pauses_s:
        time.s += pause_s
        passed(lambda: limiter.take_join("", "198.51.100.1"), per_minute)
        with pytest.raises(RateLimitedError) as refused:
            limiter.take_join("", "198.51.100.1")
        time.s += refused.value.retry_after_s
        limiter.take_join("", "198.51.100.1")
        assert refused.value.retry_after_s >= 1


def test_several_processes_share_the_rates(time: Time) -> None:
    """Each of four processes lets a quarter pass; the tasks of an owner are counted by the leader
    alone, so it has the whole rate."""
    rates = {"address_creates": 40, "owner_joins": 40, "owner_creates": 40}
    limiter = limiter_of(time, processes=4, **rates)

    assert passed(lambda: limiter.take_create("", "198.51.100.1"), 100) == 10
    assert passed(lambda: limiter.take_join("alice", None), 100) == 10
    assert passed(lambda: limiter.take_create("alice", None), 100) == 40


def test_a_share_below_one_still_lets_one_pass(time: Time) -> None:
    """A rate of 1 a minute over two processes is one at each, not none."""
    limiter = limiter_of(time, processes=2, address_connects=1)

    assert passed(lambda: limiter.take_connect("", "198.51.100.1"), 10) == 1


def test_changed_rates_apply_at_once(time: Time) -> None:
    """A lower rate begins with full buckets; one that stays the same forgets nothing."""
    limiter = limiter_of(time, address_creates=100, address_joins=1)
    limiter.take_join("", "198.51.100.1")

    limiter.change(RateSettings(address_creates_per_minute=2, address_joins_per_minute=1))

    assert passed(lambda: limiter.take_create("", "198.51.100.1"), 10) == 2
    assert passed(lambda: limiter.take_join("", "198.51.100.1"), 10) == 0


def test_refusals_are_counted_and_logged_once_in_ten_seconds(time: Time) -> None:
    """A thousand refusals are one line; the next line counts what came in between."""
    limiter = limiter_of(time, address_creates=1, owner_connects=1)

    with capture_logs() as lines:
        passed(lambda: limiter.take_create("", "198.51.100.1"), 1_001)
        time.s = 11.0
        passed(lambda: limiter.take_create("", "198.51.100.1"), 1)
        passed(lambda: limiter.take_connect("alice", None), 3)

    told = [(line["setting"], line["per_minute"], line["times"]) for line in lines]
    assert told == [
        ("address_creates_per_minute", 1, 1),
        ("address_creates_per_minute", 1, 1_000),
        ("owner_connects_per_minute", 1, 1),
    ]
    assert {line["log_level"] for line in lines} == {"warning"}
    assert "198.51" not in str(lines)
    assert "alice" not in str(lines)
    counts = limiter.refused_counts
    assert (counts["address_creates"], counts["owner_connects"]) == (1_001, 2)
    assert counts["owner_joins"] == 0


@pytest.mark.parametrize("processes", [1, 2, 64])
@pytest.mark.parametrize("is_one_address", [True, False])
def test_ten_thousand_clients_come_back_with_the_defaults(
    time: Time, processes: int, *, is_one_address: bool
) -> None:
    """All clients of one app connect and join three topics at the same moment, whether behind one
    address or each with its own, and however the kernel spreads them over processes."""
    spread = random.Random(7)  # noqa: S311 - the kernel spreads by a hash
    limiters = [
        RateLimiter(RateSettings(), processes=processes, now_s=time) for _ in range(processes)
    ]

    for number in range(CLIENTS):
        limiter = spread.choice(limiters)
        address = "198.51.100.1" if is_one_address else f"2001:db8:0:{number:x}::/64"
        limiter.take_connect("key:app", address)
        for _topic in range(TOPICS):
            limiter.take_join("key:app", address)

    assert sum(sum(limiter.refused_counts.values()) for limiter in limiters) == 0


def test_ten_thousand_tasks_of_one_backend_pass_with_the_defaults(time: Time) -> None:
    """A backend fills the whole queue at once; its own address, if it counts, has a lower limit."""
    limiter = RateLimiter(RateSettings(), now_s=time)

    assert passed(lambda: limiter.take_create("key:backend", None), 10_000) == 10_000
    assert passed(lambda: limiter.take_create("", "198.51.100.1"), 10_000) == 600
