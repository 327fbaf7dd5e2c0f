"""Tasks and events as rows, and back. The only place that knows both spellings."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

from phoenix_compat.tasks.clock import as_stored, parsed_time, stored_time
from phoenix_compat.tasks.kinds import TaskParams
from phoenix_compat.tasks.task import JSONObject, Task, TaskEvent, TaskId, TaskStatus


def added_values(params: TaskParams, task_id: TaskId, now: datetime) -> dict[str, object]:
    """The parameters of `queries.ADD_TASK`."""
    return {
        "id": task_id,
        "type": params.type,
        "task_type": params.task_type,
        "model": params.model,
        "input": _json(params.input_data),
        "provider_input": _json(params.provider_input),
        "fingerprint": params.fingerprint,
        "deadline_s": params.deadline_s,
        "estimated_cost_usd": params.estimated_cost_usd,
        "now": stored_time(now),
    }


def added_task(params: TaskParams, task_id: TaskId, number: int, now: datetime) -> Task:
    """The task that `added_values` puts into the store, as `task_from` would read it there."""
    created_at = as_stored(now)
    return Task(
        id=task_id,
        number=number,
        type=params.type,
        task_type=params.task_type,
        model=params.model,
        input_data=params.input_data,
        provider_input=params.provider_input,
        fingerprint=params.fingerprint,
        status=TaskStatus.QUEUED,
        created_at=created_at,
        updated_at=created_at,
        deadline_s=params.deadline_s,
        estimated_cost_usd=params.estimated_cost_usd,
    )


def moved_values(moved: Task, before: Task) -> dict[str, object]:
    """The parameters of `queries.MOVE_TASK`."""
    return {
        "id": moved.id,
        "from_status": before.status,
        "from_cycle": before.cycle,
        "cycle": moved.cycle,
        "status": moved.status,
        "progress": moved.progress,
        "prediction_id": moved.prediction_id,
        "attempts": moved.attempts,
        "connect_failures": moved.connect_failures,
        "not_before": _maybe_text(moved.not_before),
        "submitted_at": _maybe_text(moved.submitted_at),
        "started_at": _maybe_text(moved.started_at),
        "completed_at": _maybe_text(moved.completed_at),
        "result_data": _maybe_json(moved.result_data),
        "error_data": _maybe_json(moved.error_data),
        "retries": moved.retries,
        "models_tried": _json(moved.models_tried),
        "provider_model": moved.provider_model,
        "provider_input": _json(moved.provider_input),
        "fingerprint": moved.fingerprint,
        "deadline_s": moved.deadline_s,
        "files": _json(moved.files),
        "estimated_cost_usd": moved.estimated_cost_usd,
        "updated_at": stored_time(moved.updated_at),
    }


def prediction_values(task: Task) -> tuple[object, ...]:
    """The parameters of `queries.ADD_PREDICTION`."""
    return task.prediction_id, task.id, stored_time(task.updated_at)


def event_values(
    task: Task, event: str, at: datetime, data: JSONObject | None
) -> dict[str, object]:
    """The parameters of `queries.ADD_EVENT`."""
    return {
        "task_id": task.id,
        "event": event,
        "status": task.status,
        "progress": task.progress,
        "data": _maybe_json(data),
        "at": stored_time(at),
    }


_TIME_COLUMNS = ("not_before", "submitted_at", "started_at", "completed_at")


def task_from(row: sqlite3.Row) -> Task:
    """The task of a row."""
    values: dict[str, Any] = dict(row)
    values["status"] = TaskStatus(values["status"])
    values["input_data"] = json.loads(values.pop("input"))
    values["provider_input"] = json.loads(values["provider_input"])
    values["is_cancel_requested"] = bool(values.pop("cancel_requested"))
    values["created_at"] = parsed_time(values["created_at"])
    values["updated_at"] = parsed_time(values["updated_at"])
    for column in _TIME_COLUMNS:
        values[column] = maybe_time(values[column])
    for column in ("result_data", "error_data"):
        values[column] = None if values[column] is None else json.loads(values[column])
    for column in ("models_tried", "files"):
        values[column] = tuple(json.loads(values[column]))
    return Task(**values)


def event_from(row: sqlite3.Row) -> TaskEvent:
    """The event of a row."""
    values: dict[str, Any] = dict(row)
    values["status"] = TaskStatus(values["status"])
    values["at"] = parsed_time(values["at"])
    values["data"] = None if values["data"] is None else json.loads(values["data"])
    return TaskEvent(**values)


def kept_hashes(files: str) -> frozenset[str]:
    """The sha256 of each file in the column `files`."""
    return frozenset(str(document["sha256"]) for document in json.loads(files))


# json.dumps makes an encoder for each call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json(value: JSONObject | tuple[object, ...]) -> str:
    return _ENCODER.encode(value)


def _maybe_json(value: JSONObject | None) -> str | None:
    return None if value is None else _json(value)


def _maybe_text(at: datetime | None) -> str | None:
    return None if at is None else stored_time(at)


def maybe_time(text: str | None) -> datetime | None:
    """A stored time, or None for NULL."""
    return None if text is None else parsed_time(text)
