"""The states of a task, its moves, and its JSON forms for clients."""

from __future__ import annotations

from datetime import timedelta

import msgspec
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
from tests.unit.tasks.sample_tasks import CREATED_AT, make_task

RESULT = {"image_url": "https://replicate.delivery/a.jpg"}


@given(st.sampled_from(TaskStatus), st.sampled_from(TaskStatus))
def test_only_legal_moves_are_possible(from_: TaskStatus, to: TaskStatus) -> None:
    """A task can make exactly the moves of LEGAL_MOVES."""
    task = make_task(from_)

    if to in LEGAL_MOVES[from_]:
        assert task.moved(to, CREATED_AT).status is to
    else:
        with pytest.raises(IllegalMoveError, match=f"from {from_} to {to}"):
            task.moved(to, CREATED_AT)


def test_completed_and_failed_are_terminal() -> None:
    """Only a retry leads back, and only from failed."""
    terminal = {status for status in TaskStatus if status.is_terminal}

    assert terminal == {TaskStatus.COMPLETED, TaskStatus.FAILED}
    assert set(TaskStatus) - terminal == UNFINISHED
    assert LEGAL_MOVES[TaskStatus.COMPLETED] == frozenset()
    assert LEGAL_MOVES[TaskStatus.FAILED] == {TaskStatus.QUEUED}


@given(st.lists(st.sampled_from(TaskStatus), max_size=8))
def test_a_terminal_task_moves_only_into_a_new_cycle(moves: list[TaskStatus]) -> None:
    """A move from a terminal state always begins a new cycle."""
    task = make_task()

    for to in moves:
        if to in LEGAL_MOVES[task.status]:
            moved = task.moved(to, CREATED_AT)
            assert moved.cycle == task.cycle + task.status.is_terminal
            task = moved


def test_a_new_cycle_keeps_nothing_of_the_last_one() -> None:
    """A retried task is the task as posted, without results of the failed cycle."""
    fresh = make_task(deadline_s=60.0, estimated_cost_usd=0.02)
    failed = make_task(
        TaskStatus.FAILED,
        deadline_s=60.0,
        estimated_cost_usd=0.02,
        prediction_id="p-1",
        attempts=2,
        retries=2,
        error_data={"code": "timed_out"},
        completed_at=CREATED_AT,
        models_tried=("a/b",),
        provider_model="c/d",
    )

    retried = failed.moved(TaskStatus.QUEUED, CREATED_AT)

    assert retried == msgspec.structs.replace(fresh, cycle=2)


def test_completion_sets_progress_and_time() -> None:
    """A completed task has progress 1.0 and the time of its end."""
    task = make_task(TaskStatus.RUNNING, progress=0.4)

    done = task.moved(TaskStatus.COMPLETED, CREATED_AT, result_data=RESULT)

    assert (done.progress, done.completed_at) == (1.0, CREATED_AT)


def test_a_queued_task_is_processing_at_zero() -> None:
    """Clients see a queued task as processing with progress 0.0."""
    assert progress_payload(make_task()) == {
        "task_id": "t-1",
        "progress": 0.0,
        "status": "processing",
        "timestamp": "2026-01-05T10:00:00Z",
    }


@pytest.mark.parametrize("status", [TaskStatus.SUBMITTING, TaskStatus.RUNNING])
def test_a_submitting_or_running_task_is_processing(status: TaskStatus) -> None:
    """Clients see both states as processing, with the current progress."""
    payload = progress_payload(make_task(status, progress=0.5))

    assert (payload["status"], payload["progress"]) == ("processing", 0.5)
    assert set(payload) == {"task_id", "progress", "status", "timestamp"}


def test_a_completed_task_carries_its_result() -> None:
    """The payload of a completed task has result_data and no error_data."""
    task = make_task(TaskStatus.RUNNING).moved(TaskStatus.COMPLETED, CREATED_AT, result_data=RESULT)

    assert progress_payload(task) == {
        "task_id": "t-1",
        "progress": 1.0,
        "status": "completed",
        "timestamp": "2026-01-05T10:00:00Z",
        "result_data": RESULT,
    }


def test_a_failed_task_carries_its_error() -> None:
    """The payload of a failed task has progress 0.0 and error_data."""
    error = {"error": "The task was canceled.", "code": "canceled"}
    task = make_task(TaskStatus.RUNNING, progress=0.7)

    failed = task.moved(TaskStatus.FAILED, CREATED_AT + timedelta(seconds=1), error_data=error)

    assert progress_payload(failed) == {
        "task_id": "t-1",
        "progress": 0.0,
        "status": "failed",
        "timestamp": "2026-01-05T10:00:01Z",
        "error_data": error,
    }


@pytest.mark.parametrize("status", TaskStatus)
def test_progress_is_always_a_float(status: TaskStatus) -> None:
    """Clients with static types expect a double, so an integer is never sent."""
    assert type(progress_payload(make_task(status, progress=1))["progress"]) is float


def test_the_summary_has_topic_and_links() -> None:
    """The answer to a POST has the topic and the paths of the task."""
    summary = task_summary(make_task())

    assert summary["topic"] == "task:t-1"
    assert summary["links"]["self"] == "/api/tasks/t-1"
    assert (summary["status"], summary["state"]) == ("processing", "queued")


def test_the_document_leaves_out_absent_values() -> None:
    """A queued task has no null values for result, error, prediction or end."""
    assert None not in task_document(make_task()).values()


def test_the_document_has_queue_position_and_estimated_cost() -> None:
    """Both keys are present when the values are known."""
    document = task_document(make_task(estimated_cost_usd=0.02), queue_position=3)

    assert (document["queue_position"], document["estimated_cost_usd"]) == (3, 0.02)


def test_a_fallback_model_is_the_running_model() -> None:
    """A fallback model runs instead of the requested one."""
    assert make_task().running_model == "google/imagen-4-fast"
    assert make_task(provider_model="a/b").running_model == "a/b"
