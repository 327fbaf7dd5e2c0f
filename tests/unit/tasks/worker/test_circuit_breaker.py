"""The circuit breaker: when it opens, when probes are sent, and when it closes."""

from __future__ import annotations

import math

import pytest
from structlog.testing import capture_logs

from phoenix_compat.tasks.worker.circuit_breaker import (
    ACCOUNT,
    UNAVAILABLE,
    BreakerOptions,
    BreakerState,
    CircuitBreaker,
)
from tests.unit.tasks.test_token_bucket import Time

OPTIONS = BreakerOptions(failures=3, first_probe_s=30.0, probe_limit_s=100.0)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> CircuitBreaker:
    return CircuitBreaker(OPTIONS, time)


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    assert not breaker.failed(ACCOUNT)
    return breaker


def test_a_refused_account_opens_the_circuit(breaker: CircuitBreaker) -> None:
    """The first create that is refused fails; the next ones wait."""
    assert breaker.failed(ACCOUNT) is False

    assert (breaker.state, breaker.reason) == (BreakerState.OPEN, ACCOUNT)
    assert breaker.wait_s() == 30.0
    assert breaker.failed(ACCOUNT) is True


def test_repeated_unavailability_opens_the_circuit(breaker: CircuitBreaker) -> None:
    """Several failures in a row open it; a success in between resets the count."""
    breaker.failed(UNAVAILABLE)
    breaker.failed(UNAVAILABLE)
    breaker.succeeded()
    breaker.failed(UNAVAILABLE)
    breaker.failed(UNAVAILABLE)
    assert breaker.state is BreakerState.CLOSED

    breaker.failed(UNAVAILABLE)

    assert (breaker.state, breaker.reason) == (BreakerState.OPEN, UNAVAILABLE)


def test_only_one_probe_is_sent_at_a_time(breaker: CircuitBreaker, time: Time) -> None:
    """After the interval one create may be sent; others wait for its answer."""
    opened(breaker)
    time.s = 30.0
    assert breaker.wait_s() == 0.0

    breaker.enter()

    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.wait_s() == math.inf


def test_a_successful_probe_closes_the_circuit(breaker: CircuitBreaker, time: Time) -> None:
    """After a successful probe nothing waits and the time that it was open is reset."""
    opened(breaker)
    time.s = 30.0
    breaker.enter()

    breaker.succeeded()

    assert (breaker.state, breaker.reason, breaker.wait_s()) == (BreakerState.CLOSED, None, 0.0)
    assert breaker.open_s == 0.0


def test_the_interval_of_probes_grows(breaker: CircuitBreaker, time: Time) -> None:
    """Each failed probe doubles the interval, up to its limit."""
    opened(breaker)
    waits_s = []
    for _ in range(4):
        waits_s.append(breaker.wait_s())
        time.s += breaker.wait_s()
        breaker.enter()
        assert breaker.failed(ACCOUNT) is True

    assert waits_s == [30.0, 60.0, 100.0, 100.0]
    assert breaker.open_s == 290.0


def test_a_withdrawn_probe_is_repeated_at_once(breaker: CircuitBreaker, time: Time) -> None:
    """After a probe is withdrawn the next create may be the probe without a wait."""
    opened(breaker)
    time.s = 30.0
    breaker.enter()

    breaker.withdraw()

    assert (breaker.state, breaker.wait_s()) == (BreakerState.OPEN, 0.0)


def test_each_state_change_is_logged_once(breaker: CircuitBreaker, time: Time) -> None:
    """An outage gives three log lines, however many creates it affects."""
    with capture_logs() as lines:
        for _ in range(5):
            breaker.failed(ACCOUNT)
        time.s = 30.0
        breaker.enter()
        breaker.succeeded()
        breaker.succeeded()

    assert [line["state"] for line in lines] == ["open", "half_open", "closed"]
