"""The states of a task, its moves, and what clients are told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.errors import IllegalMoveError
from phoenix_compat.tasks.task import (
    LEGAL_MOVES,
    UNFINISHED,
    TaskStatus,
    progress_payload,
    task_document,
    task_summary,
)
from tests.unit.tasks.tasks import TEN, a_task

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


def test_terminal_states_have_no_moves() -> None:
    """Completed and failed are the end, and the only end."""
    ends = {status for status in TaskStatus if status.is_terminal}

    assert ends == {TaskStatus.COMPLETED, TaskStatus.FAILED}
    assert set(TaskStatus) - ends == UNFINISHED


@given(st.lists(st.sampled_from(TaskStatus), max_size=8))
def test_a_task_never_leaves_its_end(moves: list[TaskStatus]) -> None:
    """Whatever is asked of it, a task that has ended stays as it ended."""
    task = a_task()

    for to in moves:
        if to in LEGAL_MOVES[task.status]:
            assert not task.status.is_terminal
            task = task.moved(to, TEN)


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
