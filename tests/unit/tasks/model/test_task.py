"""The states of a task, its moves, and what clients are told."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.errors import IllegalMoveError
from phoenix_compat.tasks.model.task import (
    LEGAL_MOVES,
    UNFINISHED,
    TaskStatus,
    progress_payload,
    task_document,
    task_summary,
)
from tests.unit.tasks.sample_tasks import TEN, a_task

RESULT = {"image_url": "https://replicate.delivery/a.jpg"}


@given(st.sampled_from(TaskStatus), st.sampled_from(TaskStatus))
def test_only_the_moves_of_the_table_are_possible(from_: TaskStatus, to: TaskStatus) -> None:
    """A task moves exactly where the table lets it."""
    task = a_task(from_)

    if to in LEGAL_MOVES[from_]:
        assert task.moved(to, TEN).status is to
    else:
        with pytest.raises(IllegalMoveError, match=f"from {from_} to {to}"):
            task.moved(to, TEN)


def test_completed_and_failed_are_the_end() -> None:
    """Only a client's retry leads back, and only from failed."""
    ends = {status for status in TaskStatus if status.is_terminal}

    assert ends == {TaskStatus.COMPLETED, TaskStatus.FAILED}
    assert set(TaskStatus) - ends == UNFINISHED
    assert LEGAL_MOVES[TaskStatus.COMPLETED] == frozenset()
    assert LEGAL_MOVES[TaskStatus.FAILED] == {TaskStatus.QUEUED}


@given(st.lists(st.sampled_from(TaskStatus), max_size=8))
def test_a_task_leaves_its_end_only_in_a_new_cycle(moves: list[TaskStatus]) -> None:
    """Whatever is asked of it, what ended stays as it ended until it is made again."""
    task = a_task()

    for to in moves:
        if to in LEGAL_MOVES[task.status]:
            moved = task.moved(to, TEN)
            assert moved.cycle == task.cycle + task.status.is_terminal
            task = moved


def test_a_new_cycle_remembers_no_failure() -> None:
    """A failed task that is made again is the order as posted, and nothing of what came of it."""
    fresh = a_task(deadline_s=60.0, estimated_cost_usd=0.02)
    failed = a_task(
        TaskStatus.FAILED,
        deadline_s=60.0,
        estimated_cost_usd=0.02,
        prediction_id="p-1",
        attempts=2,
        retries=2,
        error_data={"code": "timed_out"},
        completed_at=TEN,
        models_tried=("a/b",),
        provider_model="c/d",
    )

    again = failed.moved(TaskStatus.QUEUED, TEN)

    assert again == dataclasses.replace(fresh, cycle=2)


def test_a_completed_task_is_wholly_done() -> None:
    """Completion sets progress to 1.0 and the time of the end."""
    task = a_task(TaskStatus.RUNNING, progress=0.4)

    done = task.moved(TaskStatus.COMPLETED, TEN, result_data=RESULT)

    assert (done.progress, done.completed_at) == (1.0, TEN)


def test_a_queued_task_is_processing_at_zero() -> None:
    """Clients know no queue: a waiting task is processing at 0.0."""
    assert progress_payload(a_task()) == {
        "task_id": "t-1",
        "progress": 0.0,
        "status": "processing",
        "timestamp": "2026-01-05T10:00:00Z",
    }


@pytest.mark.parametrize("status", [TaskStatus.SUBMITTING, TaskStatus.RUNNING])
def test_a_task_in_hand_is_processing(status: TaskStatus) -> None:
    """Submitting and running are one word on the channel, with the progress made."""
    payload = progress_payload(a_task(status, progress=0.5))

    assert (payload["status"], payload["progress"]) == ("processing", 0.5)
    assert set(payload) == {"task_id", "progress", "status", "timestamp"}


def test_a_completed_task_carries_its_result() -> None:
    """The terminal payload has result_data and no error_data."""
    task = a_task(TaskStatus.RUNNING).moved(TaskStatus.COMPLETED, TEN, result_data=RESULT)

    assert progress_payload(task) == {
        "task_id": "t-1",
        "progress": 1.0,
        "status": "completed",
        "timestamp": "2026-01-05T10:00:00Z",
        "result_data": RESULT,
    }


def test_a_failed_task_carries_its_error() -> None:
    """A failed task is at 0.0, whatever it had reached, and says why."""
    error = {"error": "The task was canceled.", "code": "canceled"}
    task = a_task(TaskStatus.RUNNING, progress=0.7)

    failed = task.moved(TaskStatus.FAILED, TEN + timedelta(seconds=1), error_data=error)

    assert progress_payload(failed) == {
        "task_id": "t-1",
        "progress": 0.0,
        "status": "failed",
        "timestamp": "2026-01-05T10:00:01Z",
        "error_data": error,
    }


@pytest.mark.parametrize("status", TaskStatus)
def test_progress_is_always_a_float(status: TaskStatus) -> None:
    """Typed clients read a double, so an integer never goes out."""
    assert type(progress_payload(a_task(status, progress=1))["progress"]) is float


def test_the_summary_says_where_to_follow() -> None:
    """The answer to a POST names the topic and the paths."""
    summary = task_summary(a_task())

    assert summary["topic"] == "task:t-1"
    assert summary["links"]["self"] == "/api/tasks/t-1"
    assert (summary["status"], summary["state"]) == ("processing", "queued")


def test_the_document_leaves_out_what_is_not_there() -> None:
    """Absent beats null: a queued task has no result, error, prediction or end."""
    assert None not in task_document(a_task()).values()


def test_a_queued_task_s_document_says_where_it_waits() -> None:
    """Place and price are there when they are known."""
    document = task_document(a_task(estimated_cost_usd=0.02), queue_position=3)

    assert (document["queue_position"], document["estimated_cost_usd"]) == (3, 0.02)


def test_the_model_that_runs_is_the_one_that_stepped_in() -> None:
    """A fallback runs in the place of the model that was asked for."""
    assert a_task().running_model == "google/imagen-4-fast"
    assert a_task(provider_model="a/b").running_model == "a/b"
