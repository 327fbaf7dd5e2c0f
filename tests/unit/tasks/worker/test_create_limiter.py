"""The gate of the creates: what it learns from a 429, and how it forgets."""

from __future__ import annotations

import math

import pytest

from phoenix_compat.tasks.model.errors import ProviderThrottledError, RateReducedError
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT, BreakerState
from phoenix_compat.tasks.worker.create_limiter import CALM_LIMIT_S, FIRST_CALM_S, PROOF, CreateGate
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import FakeClock

SIX_A_MINUTE = RateReducedError(10.0, per_minute=6, burst=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> CreateGate:
    return CreateGate(clock, WorkerOptions())


def order(gate: CreateGate) -> None:
    """One order that is taken."""
    ticket = gate.enter()
    gate.succeeded()
    gate.leave(ticket)


def per_minute(gate: CreateGate) -> float:
    return round(gate.state.creates_per_minute, 1)


def test_the_first_orders_go_one_after_the_other(gate: CreateGate) -> None:
    """Nobody knows yet whether there is a limit; ten good answers show there is none so far."""
    for _ in range(PROOF):
        assert gate.wait_s() == 0.0
        ticket = gate.enter()
        assert gate.wait_s() > 0.0
        gate.succeeded()
        gate.leave(ticket)

    gate.enter()
    assert gate.wait_s() < 1.0


def test_a_slow_order_holds_nobody_back(gate: CreateGate, clock: FakeClock) -> None:
    """An order without an answer for two seconds says nothing about a limit."""
    gate.enter()
    assert gate.wait_s() == 2.0

    clock.elapsed_s = 2.0

    assert gate.wait_s() == 0.0


def test_a_limit_is_adopted(gate: CreateGate, clock: FakeClock) -> None:
    """Six a minute means one every ten seconds and a little, after the wait that was asked for."""
    ticket = gate.enter()
    gate.throttled(SIX_A_MINUTE, jitter=0.0)
    gate.leave(ticket)

    assert gate.wait_s() == 10.0
    assert (per_minute(gate), gate.state.is_reduced) == (5.7, True)
    clock.elapsed_s = 10.0
    order(gate)
    assert gate.wait_s() == pytest.approx(60 / 5.7)


def test_a_429_without_numbers_halves_the_pace(gate: CreateGate, clock: FakeClock) -> None:
    """Once per event, however many orders were refused together; never below six a minute."""
    gate.throttled(ProviderThrottledError(1.0), jitter=0.0)
    gate.throttled(ProviderThrottledError(1.0), jitter=0.0)
    assert per_minute(gate) == 300.0

    for _ in range(20):
        clock.elapsed_s += 10.0
        gate.throttled(ProviderThrottledError(1.0), jitter=0.0)

    assert per_minute(gate) == 5.7


def test_a_429_that_asks_for_no_wait_gets_one(gate: CreateGate) -> None:
    """Longer each time, so that no answer makes a storm of orders."""
    waits_s = []
    for _ in range(4):
        gate.throttled(ProviderThrottledError(0.0), jitter=0.0)
        waits_s.append(gate.wait_s())

    assert waits_s == [1.0, 2.0, 4.0, 8.0]


def test_the_pace_recovers_slowly(gate: CreateGate, clock: FakeClock) -> None:
    """After a calm minute each order that is taken makes it a tenth faster, up to what is set."""
    gate.throttled(SIX_A_MINUTE, jitter=0.0)
    clock.elapsed_s = FIRST_CALM_S - 1.0
    order(gate)
    assert per_minute(gate) == 5.7

    clock.elapsed_s = FIRST_CALM_S
    order(gate)
    assert per_minute(gate) == 6.3

    for _ in range(60):
        order(gate)
    assert (per_minute(gate), gate.state.is_reduced) == (600.0, False)


def test_a_limit_that_stays_is_tried_ever_less_often(gate: CreateGate, clock: FakeClock) -> None:
    """Each 429 doubles the calm that is asked for, up to an hour."""
    for _ in range(12):
        gate.throttled(SIX_A_MINUTE, jitter=0.0)
        clock.elapsed_s += 10.0

    clock.elapsed_s += CALM_LIMIT_S - 60.0
    order(gate)
    assert per_minute(gate) == 5.7
    clock.elapsed_s += 60.0
    order(gate)
    assert per_minute(gate) == 6.3


def test_an_open_circuit_shuts_it(gate: CreateGate, clock: FakeClock) -> None:
    """One probe goes; until it has come back the wait has no length."""
    gate.failed(ACCOUNT)
    assert gate.wait_s() == 30.0
    clock.elapsed_s = 30.0

    ticket = gate.enter()

    assert gate.wait_s() == math.inf
    gate.leave(ticket)
    gate.leave(ticket)
    assert gate.state.circuit is BreakerState.OPEN
    assert gate.state.reason == ACCOUNT


def test_a_429_closes_the_circuit(gate: CreateGate, clock: FakeClock) -> None:
    """Whoever says "too many" is there."""
    gate.failed(ACCOUNT)
    clock.elapsed_s = 30.0
    gate.enter()

    gate.throttled(SIX_A_MINUTE, jitter=0.0)

    assert gate.state.circuit is BreakerState.CLOSED
