"""Turns a finished prediction into its task's result or failure. No I/O."""

from __future__ import annotations

from datetime import datetime

from phoenix_compat.tasks.model.clock import wire_time
from phoenix_compat.tasks.model.prediction import PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.results.failure import TEXTS, Failure, failure, prediction_failure
from phoenix_compat.tasks.model.results.output import normalise_output
from phoenix_compat.tasks.model.results.provider_texts import is_filtered, users_words
from phoenix_compat.tasks.model.task import JSONObject, Task
from phoenix_compat.tasks.model.task_types import TaskType, file_urls

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
            return prediction_failure(snapshot.error_text, snapshot.logs, _words(task))
        case PredictionState.CANCELED | PredictionState.ABORTED:
            if is_overdue and not task.is_cancel_requested:
                return failure("timed_out")
            if snapshot.state is PredictionState.ABORTED and not task.is_cancel_requested:
                # Nobody canceled it and it was not late: the platform gave it up, unbilled.
                return Failure("not_started", TEXTS["not_started"], max_repeats=2)
            return failure("canceled")


def files_so_far(task: Task, snapshot: PredictionSnapshot) -> tuple[str, ...]:
    """The addresses of the files of a running prediction; none if its logs say "filtered"."""
    if snapshot.output is None:
        return ()
    urls = normalise_output(snapshot.output).urls
    return () if is_filtered(snapshot.logs, len(urls), _words(task)) else urls


def _success(
    task: Task, task_type: TaskType, snapshot: PredictionSnapshot, now: datetime
) -> JSONObject | Failure:
    output = normalise_output(snapshot.output)
    result = task_type.result(output)
    files = file_urls(result or {})
    if files and is_filtered(snapshot.logs, len(files), _words(task)):
        return failure("content_policy")
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


def _words(task: Task) -> frozenset[str]:
    return users_words(task.provider_input, task.input_data)
