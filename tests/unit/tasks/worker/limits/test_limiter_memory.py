"""What a limiter remembers, for the limiters of other nodes with the same account."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from phoenix_compat.tasks.model.errors import RateReducedError
from phoenix_compat.tasks.worker.circuit_breaker import (
    ACCOUNT,
    PROBE_LOST_AFTER_S,
    BreakerOptions,
    BreakerState,
)
from phoenix_compat.tasks.worker.limits.create_limiter import CreateLimiter, LimiterMemory
from phoenix_compat.tasks.worker.limits.shared_limiter import memory_of
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import FakeClock

OPTIONS = WorkerOptions(
    creates_per_s=10.0, create_burst=4.0, breaker=BreakerOptions(first_probe_s=30.0)
)


def moved_on(limiter: CreateLimiter, clock: FakeClock, options: WorkerOptions) -> CreateLimiter:
    """The limiter of another node that has read what this one wrote."""
    other = CreateLimiter(clock, options)
    other.load(memory_of(msgspec.json.encode(limiter.dump()).decode()))
    return other


def test_another_node_goes_on_with_the_same_tokens() -> None:
    """The creates of all nodes come from one bucket."""
    clock = FakeClock()
    limiter = CreateLimiter(clock, OPTIONS)
    admitted = 0
    for _ in range(20):
        limiter = moved_on(limiter, clock, OPTIONS)
        if limiter.wait_s() == 0.0:
            limiter.leave(limiter.enter())
            limiter.succeeded()
            admitted += 1

    assert admitted == 4
    assert limiter.wait_s() == pytest.approx(0.1)
    clock.elapsed_s += 0.1
    assert moved_on(limiter, clock, OPTIONS).wait_s() == 0.0


def test_another_node_knows_the_rate_that_was_learned() -> None:
    """Also the pause, and that creates are sent one at a time until some have succeeded."""
    clock = FakeClock()
    limiter = CreateLimiter(clock, OPTIONS)
    limiter.throttled(RateReducedError(5.0, per_minute=60, burst=1), jitter=0.0)

    other = moved_on(limiter, clock, OPTIONS)
    assert other.wait_s() == pytest.approx(5.0)
    clock.elapsed_s += 5.0
    ready = moved_on(other, clock, OPTIONS)

    assert ready.state == limiter.state
    assert ready.state.creates_per_minute == pytest.approx(57.0)
    assert ready.wait_s() == 0.0
    ready.enter()
    assert moved_on(ready, clock, OPTIONS).wait_s() >= 2.0


def test_a_node_with_another_configured_rate_uses_the_lower_one() -> None:
    """During a rolling change of the settings."""
    clock = FakeClock()
    slower = replace(OPTIONS, creates_per_s=1.0, create_burst=1.0)
    limiter = CreateLimiter(clock, OPTIONS)

    assert moved_on(limiter, clock, slower).state.creates_per_minute == 60.0
    assert moved_on(limiter, clock, slower).wait_s() == 0.0
    back = moved_on(moved_on(limiter, clock, slower), clock, OPTIONS)
    assert back.state.creates_per_minute == 600.0


def test_a_probe_is_one_nodes_alone() -> None:
    """Others wait for its outcome; if its node was lost with it, another one probes."""
    clock = FakeClock()
    limiter = CreateLimiter(clock, OPTIONS)
    limiter.failed(ACCOUNT)
    assert moved_on(limiter, clock, OPTIONS).wait_s() == pytest.approx(30.0)
    clock.elapsed_s += 30.0
    limiter.enter()

    other = moved_on(limiter, clock, OPTIONS)
    clock.elapsed_s += PROBE_LOST_AFTER_S + 1.0
    later = moved_on(other, clock, OPTIONS)

    assert (other.breaker.state, other.breaker.reason) == (BreakerState.HALF_OPEN, ACCOUNT)
    assert other.breaker.wait_s() == float("inf")
    assert later.breaker.state is BreakerState.OPEN
    assert later.wait_s() == 0.0
    later.enter()
    later.succeeded()
    assert moved_on(later, clock, OPTIONS).breaker.reason is None


@pytest.mark.parametrize("state", ["", "{", "[]", '{"per_s": "fast"}'])
def test_a_row_that_cannot_be_read_counts_as_nothing_known(state: str) -> None:
    """The nodes begin with the configured rate, as after a first start."""
    assert memory_of(state) == LimiterMemory()
