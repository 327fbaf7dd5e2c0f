"""What the worker counts: times, results and money."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from phoenix_compat.tasks.observability.task_measures import RECENT_S, TaskMeasures, duration_s

POSTED = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)


def ended(took_s: float, *, code: str = "", **changes: object) -> Task:
    """A task that ended after some seconds."""
    task = Task(
        id=TaskId("t"),
        number=1,
        type="image",
        task_type="image_gen",
        model="google/imagen-4-fast",
        input_data={},
        provider_input={},
        fingerprint="",
        status=TaskStatus.FAILED if code else TaskStatus.COMPLETED,
        created_at=POSTED,
        updated_at=POSTED + timedelta(seconds=took_s),
        completed_at=POSTED + timedelta(seconds=took_s),
        error_data={"code": code} if code else None,
        estimated_cost_usd=0.02,
    )
    return replace(task, **changes)


class Clock:
    """A monotonic clock that a test moves."""

    now_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def test_the_recent_tasks_give_the_rate_and_the_times() -> None:
    """The last minute counts for the rate, the last hour for the times; failures have no time."""
    clock = Clock()
    measures = TaskMeasures(clock)
    for took_s in range(1, 101):
        measures.note_end(ended(float(took_s)))
    measures.note_end(ended(1_000.0, code="timed_out"))

    first = measures.recent()
    clock.now_s = 61.0
    later = measures.recent()
    clock.now_s = RECENT_S + 1.0
    last = measures.recent()

    assert first == (101, 1, 51.0, 96.0)
    assert later == (0, 0, 51.0, 96.0)
    assert last == (0, 0, None, None)


def test_ends_are_counted_by_code_and_model() -> None:
    """A completed task has no code; only completed tasks have a duration."""
    measures = TaskMeasures()

    measures.note_end(ended(2.0))
    measures.note_end(ended(3.0, code="E005", provider_model="owner/fallback"))
    measures.note_prediction(ended(2.0))
    measures.note_prediction(ended(2.0, estimated_cost_usd=None, provider_model="owner/own"))

    assert dict(measures.ended) == {("completed", ""): 1, ("failed", "E005"): 1}
    assert [labels for labels, _ in measures.duration] == [("image", "google/imagen-4-fast")]
    assert dict(measures.spend_usd) == {("google/imagen-4-fast",): 0.02, ("owner/own",): 0.0}


def test_a_retried_task_counts_from_its_last_cycle() -> None:
    """Not from the time of its first order, which may be days ago."""
    retried = ended(
        90_000.0, cycle=2, submitted_at=POSTED + timedelta(seconds=89_995.0), created_at=POSTED
    )

    assert duration_s(retried) == 5.0
