"""The outcome of a finished prediction."""

from __future__ import annotations

import pytest

from phoenix_compat.tasks.model.prediction import PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.results.failure import Failure
from phoenix_compat.tasks.model.results.outcome import outcome
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES
from phoenix_compat.tasks.provider.prediction_document import PredictionDocument
from tests.unit.tasks.sample_tasks import CREATED_AT, make_snapshot, make_task

A = "https://replicate.delivery/a.jpg"
B = "https://replicate.delivery/b.jpg"


def result_of(
    snapshot: PredictionSnapshot, task: Task | None = None, *, is_overdue: bool = False
) -> object:
    task = task or make_task(TaskStatus.RUNNING)
    return outcome(task, TASK_TYPES["image"], snapshot, now=CREATED_AT, is_overdue=is_overdue)


def code_of(result: object) -> str:
    assert isinstance(result, Failure)
    return result.code


def test_a_picture_becomes_result_data() -> None:
    """The result has the keys that the app reads; its times are UTC, in seconds."""
    expected: JSONObject = {
        "image_url": A,
        "image_urls": [A, B],
        "model": "google/imagen-4-fast",
        "provider": "Replicate",
        "prediction_id": "p-1",
        "created_at": "2026-01-05T10:00:00Z",
        "completed_at": "2026-01-05T10:00:00Z",
    }

    assert result_of(make_snapshot(PredictionState.SUCCEEDED, output=[A, B])) == expected


def test_an_active_prediction_has_no_outcome() -> None:
    """A running prediction has no outcome, even if it has an output."""
    assert result_of(make_snapshot(PredictionState.ACTIVE, output=A)) is None


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (None, "empty_output"),
        ([], "empty_output"),
        ("just words", "empty_output"),
        ("data:image/png;base64,AAAA", "unsupported_output"),
    ],
)
def test_success_without_a_picture_is_a_failure(output: object, code: str) -> None:
    """A prediction that succeeded without usable output fails the task."""
    assert code_of(result_of(make_snapshot(PredictionState.SUCCEEDED, output=output))) == code


def test_a_blacked_out_picture_is_a_failure() -> None:
    """Old models black out the picture and say so only in their logs."""
    snapshot = make_snapshot(
        PredictionState.SUCCEEDED, output=A, logs="Total safe images: 0 out of 1\n"
    )

    assert code_of(result_of(snapshot)) == "content_policy"


def test_a_removed_output_is_expired() -> None:
    """A successful prediction whose output was deleted fails the task as expired."""
    snapshot = PredictionDocument(id="p-1", status="succeeded", data_removed=True).snapshot()

    assert code_of(result_of(snapshot)) == "expired"


@pytest.mark.parametrize(("is_overdue", "code"), [(False, "canceled"), (True, "timed_out")])
def test_a_timeout_is_told_from_a_cancel(is_overdue: bool, code: str) -> None:
    """The provider reports both as canceled; `is_overdue` tells them apart."""
    snapshot = make_snapshot(PredictionState.CANCELED)

    assert code_of(result_of(snapshot, is_overdue=is_overdue)) == code


@pytest.mark.parametrize(
    ("status", "completed_at", "state"),
    [
        ("starting", None, PredictionState.ACTIVE),
        ("processing", None, PredictionState.ACTIVE),
        ("succeeded", "x", PredictionState.SUCCEEDED),
        ("failed", "x", PredictionState.FAILED),
        ("canceled", "x", PredictionState.CANCELED),
        ("aborted", "x", PredictionState.ABORTED),
        ("queued", None, PredictionState.ACTIVE),
        (None, None, PredictionState.ACTIVE),
        ("expired", "x", PredictionState.FAILED),
    ],
)
def test_statuses_of_the_provider_become_states(
    status: str | None, completed_at: str | None, state: PredictionState
) -> None:
    """Six statuses are known; an unknown one counts as active unless there is an end time."""
    prediction = PredictionDocument(id="p-1", status=status, completed_at=completed_at)

    assert prediction.snapshot().state is state
