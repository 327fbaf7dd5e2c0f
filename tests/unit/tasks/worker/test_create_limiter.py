"""The create limiter of the creates: what it learns from a 429, and how it forgets."""

from __future__ import annotations

import math

import pytest

from phoenix_compat.tasks.model.errors import ProviderThrottledError, RateReducedError
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT, BreakerState
from phoenix_compat.tasks.worker.create_limiter import (
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


def order(create_limiter: CreateLimiter) -> None:
    """One order that is taken."""
    ticket = create_limiter.enter()
    create_limiter.succeeded()
    create_limiter.leave(ticket)


def per_minute(create_limiter: CreateLimiter) -> float:
    return round(create_limiter.state.creates_per_minute, 1)


def test_the_first_orders_go_one_after_the_other(create_limiter: CreateLimiter) -> None:
    """Nobody knows yet whether there is a limit; ten good answers show there is none so far."""
    for _ in range(SUCCESSES_BEFORE_OVERLAP):
        assert create_limiter.wait_s() == 0.0
        ticket = create_limiter.enter()
        assert create_limiter.wait_s() > 0.0
        create_limiter.succeeded()
        create_limiter.leave(ticket)

    create_limiter.enter()
    assert create_limiter.wait_s() < 1.0


def test_a_slow_order_holds_nobody_back(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """An order without an answer for two seconds says nothing about a limit."""
    create_limiter.enter()
    assert create_limiter.wait_s() == 2.0

    clock.elapsed_s = 2.0

    assert create_limiter.wait_s() == 0.0


def test_a_limit_is_adopted(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """Six a minute means one every ten seconds and a little, after the wait that was asked for."""
    ticket = create_limiter.enter()
    create_limiter.throttled(SIX_A_MINUTE, jitter=0.0)
    create_limiter.leave(ticket)

    assert create_limiter.wait_s() == 10.0
    assert (per_minute(create_limiter), create_limiter.state.is_reduced) == (5.7, True)
    clock.elapsed_s = 10.0
    order(create_limiter)
    assert create_limiter.wait_s() == pytest.approx(60 / 5.7)


def test_a_429_without_numbers_halves_the_pace(
    create_limiter: CreateLimiter, clock: FakeClock
) -> None:
    """Once per event, however many orders were refused together; never below six a minute."""
    create_limiter.throttled(ProviderThrottledError(1.0), jitter=0.0)
    create_limiter.throttled(ProviderThrottledError(1.0), jitter=0.0)
    assert per_minute(create_limiter) == 300.0

    for _ in range(20):
        clock.elapsed_s += 10.0
        create_limiter.throttled(ProviderThrottledError(1.0), jitter=0.0)

    assert per_minute(create_limiter) == 5.7


def test_a_429_that_asks_for_no_wait_gets_one(create_limiter: CreateLimiter) -> None:
    """Longer each time, so that no answer makes a storm of orders."""
    waits_s = []
    for _ in range(4):
        create_limiter.throttled(ProviderThrottledError(0.0), jitter=0.0)
        waits_s.append(create_limiter.wait_s())

    assert waits_s == [1.0, 2.0, 4.0, 8.0]


def test_the_pace_recovers_slowly(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """After a calm minute each order that is taken makes it a tenth faster, up to what is set."""
    create_limiter.throttled(SIX_A_MINUTE, jitter=0.0)
    clock.elapsed_s = FIRST_COOLDOWN_S - 1.0
    order(create_limiter)
    assert per_minute(create_limiter) == 5.7

    clock.elapsed_s = FIRST_COOLDOWN_S
    order(create_limiter)
    assert per_minute(create_limiter) == 6.3

    for _ in range(60):
        order(create_limiter)
    assert (per_minute(create_limiter), create_limiter.state.is_reduced) == (600.0, False)


def test_a_limit_that_stays_is_tried_ever_less_often(
    create_limiter: CreateLimiter, clock: FakeClock
) -> None:
    """Each 429 doubles the calm that is asked for, up to an hour."""
    for _ in range(12):
        create_limiter.throttled(SIX_A_MINUTE, jitter=0.0)
        clock.elapsed_s += 10.0

    clock.elapsed_s += COOLDOWN_LIMIT_S - 60.0
    order(create_limiter)
    assert per_minute(create_limiter) == 5.7
    clock.elapsed_s += 60.0
    order(create_limiter)
    assert per_minute(create_limiter) == 6.3


def test_an_open_circuit_shuts_it(create_limiter: CreateLimiter, clock: FakeClock) -> None:
    """One probe goes; until it has come back the wait has no length."""
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
    """Whoever says "too many" is there."""
    create_limiter.failed(ACCOUNT)
    clock.elapsed_s = 30.0
    create_limiter.enter()

    create_limiter.throttled(SIX_A_MINUTE, jitter=0.0)

    assert create_limiter.state.circuit is BreakerState.CLOSED
