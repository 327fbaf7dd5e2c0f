"""The create limiter: how it slows down after a 429, and how it recovers."""

from __future__ import annotations

import math

import pytest

from phoenix_compat.tasks.model.errors import ProviderThrottledError, RateReducedError
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT, BreakerState
from phoenix_compat.tasks.worker.limits.create_limiter import (
    COOLDOWN_LIMIT_S,
    FIRST_COOLDOWN_S,
    SUCCESSES_BEFORE_OVERLAP,
    CreateLimiter,
)
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import FakeClock

SIX_A_MINUTE = RateReducedError(10.0, per_minute=6, burst=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def create_limiter(clock: FakeClock) -> CreateLimiter:
    return CreateLimiter(clock, WorkerOptions())


def create(create_limiter: CreateLimiter) -> None:
    """Send one create that succeeds."""
    ticket = create_limiter.enter()
    create_limiter.succeeded()
    create_limiter.leave(ticket)


def per_minute(create_limiter: CreateLimiter) -> float:
    return round(create_limiter.state.creates_per_minute, 1)


def test_the_first_creates_are_sent_one_by_one(create_limiter: CreateLimiter) -> None:
    """Creates are sequential until ten have succeeded, because there may be a rate limit."""
    for _ in range(SUCCESSES_BEFORE_OVERLAP):
        assert create_limiter.wait_s() == 0.0
        ticket = create_limiter.enter()
        assert create_limiter.wait_s() > 0.0
        create_limiter.succeeded()
        create_limiter.leave(ticket)

    create_limiter.enter()
    assert create_limiter.wait_s() < 1.0


def test_a_slow_create_does_not_block_others(
    create_limiter: CreateLimiter, clock: FakeClock
) -> None:
    """After two seconds without an answer the next create may be sent."""
    create_limiter.enter()
    assert create_limiter.wait_s() == 2.0

    clock.elapsed_s = 2.0

    assert create_limiter.wait_s() == 0.0


def test_a_reduced_rate_is_adopted(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """After the requested wait, six a minute means a create about every ten seconds."""
    ticket = create_limiter.enter()
    create_limiter.throttled(SIX_A_MINUTE, jitter=0.0)
    create_limiter.leave(ticket)

    assert create_limiter.wait_s() == 10.0
    assert (per_minute(create_limiter), create_limiter.state.is_reduced) == (5.7, True)
    clock.elapsed_s = 10.0
    create(create_limiter)
    assert create_limiter.wait_s() == pytest.approx(60 / 5.7)


def test_a_429_without_a_rate_halves_the_rate(
    create_limiter: CreateLimiter, clock: FakeClock
) -> None:
    """Creates that are refused together halve it once; it is never below six a minute."""
    create_limiter.throttled(ProviderThrottledError(1.0), jitter=0.0)
    create_limiter.throttled(ProviderThrottledError(1.0), jitter=0.0)
    assert per_minute(create_limiter) == 300.0

    for _ in range(20):
        clock.elapsed_s += 10.0
        create_limiter.throttled(ProviderThrottledError(1.0), jitter=0.0)

    assert per_minute(create_limiter) == 5.7


def test_a_429_without_a_wait_has_a_growing_wait(create_limiter: CreateLimiter) -> None:
    """The wait doubles each time, so repeated 429s cannot cause a flood of creates."""
    waits_s = []
    for _ in range(4):
        create_limiter.throttled(ProviderThrottledError(0.0), jitter=0.0)
        waits_s.append(create_limiter.wait_s())

    assert waits_s == [1.0, 2.0, 4.0, 8.0]


def test_the_rate_recovers_slowly(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """After a minute without a 429 each success raises the rate by a tenth, up to the setting."""
    create_limiter.throttled(SIX_A_MINUTE, jitter=0.0)
    clock.elapsed_s = FIRST_COOLDOWN_S - 1.0
    create(create_limiter)
    assert per_minute(create_limiter) == 5.7

    clock.elapsed_s = FIRST_COOLDOWN_S
    create(create_limiter)
    assert per_minute(create_limiter) == 6.3

    for _ in range(60):
        create(create_limiter)
    assert (per_minute(create_limiter), create_limiter.state.is_reduced) == (600.0, False)


def test_repeated_429s_delay_the_recovery(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """Each 429 doubles the time without a 429 that is needed, up to an hour."""
    for _ in range(12):
        create_limiter.throttled(SIX_A_MINUTE, jitter=0.0)
        clock.elapsed_s += 10.0

    clock.elapsed_s += COOLDOWN_LIMIT_S - 60.0
    create(create_limiter)
    assert per_minute(create_limiter) == 5.7
    clock.elapsed_s += 60.0
    create(create_limiter)
    assert per_minute(create_limiter) == 6.3


def test_an_open_circuit_stops_creates(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """One probe is sent; until it has an answer the wait is infinite."""
    create_limiter.failed(ACCOUNT)
    assert create_limiter.wait_s() == 30.0
    clock.elapsed_s = 30.0

    ticket = create_limiter.enter()

    assert create_limiter.wait_s() == math.inf
    create_limiter.leave(ticket)
    create_limiter.leave(ticket)
    assert create_limiter.state.circuit is BreakerState.OPEN
    assert create_limiter.state.reason == ACCOUNT


def test_a_429_closes_the_circuit(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """A 429 shows that the provider is available."""
    create_limiter.failed(ACCOUNT)
    clock.elapsed_s = 30.0
    create_limiter.enter()

    create_limiter.throttled(SIX_A_MINUTE, jitter=0.0)

    assert create_limiter.state.circuit is BreakerState.CLOSED
