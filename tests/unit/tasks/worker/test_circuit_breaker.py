"""The circuit breaker: when it opens, probes and closes, and which tasks wait or fail."""

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
from tests.unit.tasks.worker.test_token_bucket import Time

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


def test_a_refused_account_opens_it_at_once(breaker: CircuitBreaker) -> None:
    """The task whose create opens it fails; later tasks wait."""
    assert breaker.failed(ACCOUNT) is False

    assert (breaker.state, breaker.reason) == (BreakerState.OPEN, ACCOUNT)
    assert breaker.wait_s() == 30.0
    assert breaker.failed(ACCOUNT) is True


def test_an_unavailable_provider_opens_it_after_several_failures(breaker: CircuitBreaker) -> None:
    """Only failures in a row count; an answer in between resets the count."""
    breaker.failed(UNAVAILABLE)
    breaker.failed(UNAVAILABLE)
    breaker.succeeded()
    breaker.failed(UNAVAILABLE)
    breaker.failed(UNAVAILABLE)
    assert breaker.state is BreakerState.CLOSED

    breaker.failed(UNAVAILABLE)

    assert (breaker.state, breaker.reason) == (BreakerState.OPEN, UNAVAILABLE)


def test_one_probe_at_a_time(breaker: CircuitBreaker, time: Time) -> None:
    """After the interval one create is sent, and no other until it has ended."""
    opened(breaker)
    time.s = 30.0
    assert breaker.wait_s() == 0.0

    breaker.enter()

    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.wait_s() == math.inf


def test_a_probe_that_succeeds_closes_it(breaker: CircuitBreaker, time: Time) -> None:
    """A closed breaker makes no create wait and has no reason."""
    opened(breaker)
    time.s = 30.0
    breaker.enter()

    breaker.succeeded()

    assert (breaker.state, breaker.reason, breaker.wait_s()) == (BreakerState.CLOSED, None, 0.0)
    assert breaker.open_s == 0.0


def test_probes_become_less_frequent(breaker: CircuitBreaker, time: Time) -> None:
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


def test_a_probe_that_was_not_sent_does_not_count(breaker: CircuitBreaker, time: Time) -> None:
    """The next create may be sent as the probe at once."""
    opened(breaker)
    time.s = 30.0
    breaker.enter()

    breaker.withdraw()

    assert (breaker.state, breaker.wait_s()) == (BreakerState.OPEN, 0.0)


def test_each_change_of_state_is_logged_once(breaker: CircuitBreaker, time: Time) -> None:
    """An outage is three log lines, however many creates failed."""
    with capture_logs() as lines:
        for _ in range(5):
            breaker.failed(ACCOUNT)
        time.s = 30.0
        breaker.enter()
        breaker.succeeded()
        breaker.succeeded()

    assert [line["state"] for line in lines] == ["open", "half_open", "closed"]
