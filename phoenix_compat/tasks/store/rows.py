"""Tasks and events as rows, and back. The only place that knows both spellings."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from phoenix_compat.tasks.model.clock import as_stored, stored_time
from phoenix_compat.tasks.model.failure import failure
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskEvent, TaskId, TaskStatus
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.store.columns import EVENT_COLUMNS, TASK_COLUMNS, read_files

UNREADABLE = failure("internal_error")
"""Why a task failed whose row cannot be read."""


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


def task_from(row: Mapping[str, Any] | sqlite3.Row) -> Task:
    """The task of a row, whatever is in it: what cannot be read harms this task alone.

    `Task.unreadable` names the columns that cannot be read; something harmless stands in for each.
    What the task can go on without, it goes on without, since its prediction is paid for:

    - queued: any column counts. Nothing was ordered yet, and an order must be what was asked for.
    - submitting: looking for the order needs its fingerprint; it is never sent once more.
    - running: needs the prediction's id and the type, which says what a result looks like.
    - completed: needs the result.

    Otherwise it is failed, with the code `internal_error`, and the worker sets the row aside.
    """
    values: dict[str, Any] = {"number": row["number"]}
    unreadable: list[str] = []
    for name, (read, _, stand_in) in TASK_COLUMNS.items():
        try:
            values[name] = read(row[name])
        except ValueError:
            values[name] = stand_in
            unreadable.append(name)
    if unreadable:
        _mend(values, frozenset(unreadable))
    values["input_data"] = values.pop("input")
    values["is_cancel_requested"] = values.pop("cancel_requested")
    return Task(**values, unreadable=tuple(unreadable))


def set_aside_values(task: Task, now: datetime) -> dict[str, object]:
    """The parameters of `queries.SET_ASIDE` and `queries.ADD_SET_ASIDE_EVENT`."""
    return {
        "number": task.number,
        "error_data": _json(UNREADABLE.error_data),
        "now": stored_time(now),
    }


_NEEDED: Mapping[TaskStatus, frozenset[str]] = {
    TaskStatus.QUEUED: frozenset(TASK_COLUMNS),
    TaskStatus.SUBMITTING: frozenset(
        {"id", "status", "cycle", "type", "fingerprint", "prediction_id"}
    ),
    TaskStatus.RUNNING: frozenset({"id", "status", "cycle", "type", "prediction_id"}),
    TaskStatus.COMPLETED: frozenset({"status", "result_data"}),
    TaskStatus.FAILED: frozenset({"status", "error_data"}),
}
"""Without these a task in this state cannot go on, or be shown."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_TIMES = ("created_at", "submitted_at", "started_at", "updated_at", "completed_at")


def _mend(values: dict[str, Any], unreadable: frozenset[str]) -> None:
    """Make the values of a row with unreadable columns those of a task."""
    if "id" in unreadable:
        values["id"] = f"unreadable-{values['number']}"
    # An order is looked for from its time on: rather too early than too late.
    known = [values[name] for name in _TIMES if values[name] is not None] or [_EPOCH]
    values["created_at"] = values["created_at"] or known[0]
    values["updated_at"] = values["updated_at"] or known[-1]
    if "submitted_at" in unreadable:
        values["submitted_at"] = values["created_at"]
    if unreadable & _NEEDED[values["status"]]:
        values["status"] = TaskStatus.FAILED
        values["progress"] = 0.0
        values["result_data"] = None
        values["error_data"] = UNREADABLE.error_data


def event_from(row: Mapping[str, Any] | sqlite3.Row) -> TaskEvent:
    """The event of a row; a value that cannot be read is named, and something stands in for it."""
    values: dict[str, Any] = {"task_id": row["task_id"]}
    unreadable: list[str] = []
    for name, (read, _, stand_in) in EVENT_COLUMNS.items():
        try:
            values[name] = read(row[name])
        except ValueError:
            values[name] = stand_in
            unreadable.append(name)
    if "data" in unreadable:
        values["data"] = UNREADABLE.error_data
    values["at"] = values["at"] or _EPOCH
    return TaskEvent(**values, unreadable=tuple(unreadable))


def kept_hashes(files: object) -> frozenset[str]:
    """The sha256 of each file in the column `files`; of none when it cannot be read."""
    try:
        return frozenset(str(document["sha256"]) for document in read_files(files))
    except ValueError:
        return frozenset()


# json.dumps makes an encoder for each call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json(value: JSONObject | tuple[object, ...]) -> str:
    return _ENCODER.encode(value)


def _maybe_json(value: JSONObject | None) -> str | None:
    return None if value is None else _json(value)


def _maybe_text(at: datetime | None) -> str | None:
    return None if at is None else stored_time(at)
