"""The provider's view: quantiles, models, errors and fallbacks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from phoenix_compat.server.inspection.processes import OneProcess
from phoenix_compat.server.inspection.provider import ProviderStatus, quantile
from phoenix_compat.tasks.observability.task_measures import TaskMeasures
from phoenix_compat.tasks.worker.circuit_breaker import BreakerState
from phoenix_compat.tasks.worker.limits.create_limiter import ProviderState


class Clock:
    """A clock that tests set."""

    now_s = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


class FakeWorker:
    """What the view reads of a worker."""

    def __init__(self, clock: Clock) -> None:
        self.measures = TaskMeasures(clock)
        self.counts = {"repeats": 2, "abandoned": 0}
        self.provider_state = ProviderState(
            circuit=BreakerState.OPEN,
            reason="provider_account",
            open_s=12.34,
            creates_per_minute=30.0,
            full_per_minute=600.0,
            is_reduced=True,
        )


async def viewed(worker: Any) -> Any:
    """The view, as a console gets it."""
    return msgspec.json.decode(await ProviderStatus(worker, OneProcess()).view())


async def test_the_view_has_what_the_worker_counted() -> None:
    """Creates, calls by operation, models by cost, errors by number, events that happened."""
    worker = FakeWorker(Clock())
    measures = worker.measures
    measures.creates["ok"] = 3
    measures.creates["throttled"] = 1
    for result, took_s in (("ok", 0.2), ("ok", 0.3), ("throttled", 4.0)):
        measures.requests.observe(("submit", result), took_s)
    measures.duration.observe(("image", "a/cheap"), 2.0)
    measures.duration.observe(("edit", "a/cheap"), 4.0)
    measures.spend_usd.add(("a/cheap",), 0.02)
    measures.spend_usd.add(("b/dear",), 0.5)
    measures.ended.add(("failed", "timed_out"))
    measures.ended.add(("failed", "content_policy"), 2)
    measures.ended.add(("completed", ""), 9)

    view = await viewed(worker)

    assert (view["circuit"], view["reason"], view["open_s"]) == ("open", "provider_account", 12.3)
    assert (view["creates_per_minute"], view["full_per_minute"]) == (30.0, 600.0)
    assert view["creates"]["throttled"] == 1
    (call,) = view["calls"]
    assert (call["operation"], call["results"]) == ("submit", {"ok": 2, "throttled": 1})
    assert (call["times"]["count"], call["times"]["buckets"][-1]) == (3, [None, 0])
    assert [(use["model"], use["completed"], use["cost_usd"]) for use in view["models"]] == [
        ("b/dear", 0, 0.5),
        ("a/cheap", 2, 0.02),
    ]
    assert view["errors"] == [["content_policy", 2], ["timed_out", 1]]
    assert view["events"] == {"repeats": 2}


async def test_a_fallback_is_in_force_for_a_while() -> None:
    """Ten minutes after the last task it counts as over; it stays listed."""
    clock = Clock()
    worker = FakeWorker(clock)
    worker.measures.note_fallback("a/gone", "b/other")
    clock.now_s += 60.0
    worker.measures.note_fallback("a/gone", "b/other")
    clock.now_s += 30.0

    (now,) = (await viewed(worker))["fallbacks"]
    clock.now_s += 600.0
    (later,) = (await viewed(worker))["fallbacks"]

    assert now == {
        "model": "a/gone",
        "fallback": "b/other",
        "tasks": 2,
        "last_s_ago": 30.0,
        "is_in_force": True,
    }
    assert (later["last_s_ago"], later["is_in_force"]) == (630.0, False)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([4, 0, 0], 0.5, 0.5),
        ([1, 1, 0], 0.5, 1.0),
        ([1, 3, 0], 0.5, 1.333),
        ([1, 1, 8], 0.95, 2.0),
    ],
)
def test_quantiles(counts: list[int], share: float, expected: float | None) -> None:
    """Even within a bucket; above the last bound it is that bound."""
    assert quantile((1.0, 2.0), counts, share) == expected
