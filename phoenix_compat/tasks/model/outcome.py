"""Turns a finished prediction into its task's result or failure. No I/O."""

from __future__ import annotations

from datetime import datetime

from phoenix_compat.tasks.model.clock import wire_time
from phoenix_compat.tasks.model.failure import (
    Failure,
    failure,
    is_filtered_picture,
    prediction_failure,
)
from phoenix_compat.tasks.model.output import normalise_output
from phoenix_compat.tasks.model.prediction import PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import JSONObject, Task
from phoenix_compat.tasks.model.task_types import TaskType

PROVIDER_NAME = "Replicate"


def outcome(
    task: Task,
    task_type: TaskType,
    snapshot: PredictionSnapshot,
    *,
    now: datetime,
    is_overdue: bool,
) -> JSONObject | Failure | None:
    """The task's `result_data`, or its failure, or None while the prediction is running.

    Args:
        is_overdue: whether the deadline is reached; tells a timeout from a cancel, since the
            provider reports both in the same way.
    """
    match snapshot.state:
        case PredictionState.ACTIVE:
            return None
        case PredictionState.SUCCEEDED:
            return _success(task, task_type, snapshot, now)
        case PredictionState.FAILED:
            return prediction_failure(snapshot.error_text, snapshot.logs)
        case PredictionState.CANCELED:
            is_late = is_overdue and not task.is_cancel_requested
            return failure("timed_out" if is_late else "canceled")


def _success(
    task: Task, task_type: TaskType, snapshot: PredictionSnapshot, now: datetime
) -> JSONObject | Failure:
    if is_filtered_picture(snapshot.logs):
        return failure("content_policy")
    output = normalise_output(snapshot.output)
    result = task_type.result(output)
    if result is not None:
        return {
            **result,
            "model": task.running_model,
            "provider": PROVIDER_NAME,
            "prediction_id": snapshot.ref.id,
            "created_at": wire_time(task.created_at),
            "completed_at": wire_time(now),
        }
    if snapshot.is_removed:
        return failure("expired")
    return failure("unsupported_output" if output.inline_files else "empty_output")
