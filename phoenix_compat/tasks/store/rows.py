"""Converts tasks and events to rows, and rows to tasks and events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from phoenix_compat.tasks.model.caps import cost_microdollars
from phoenix_compat.tasks.model.clock import stored_time, truncate_to_ms
from phoenix_compat.tasks.model.results.failure import failure
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskEvent, TaskId, TaskStatus
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.store.columns import EVENT_COLUMNS, TASK_COLUMNS, read_files
from phoenix_compat.tasks.store.database import Row

UNREADABLE = failure("internal_error")
"""The failure of a task whose row cannot be read."""


def added_values(
    params: TaskParams, task_id: TaskId, now: datetime, owner: str, traceparent: str | None = None
) -> dict[str, object]:
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
        "owner": owner,
        "traceparent": traceparent,
        "now": stored_time(now),
        "reserved_microdollars": cost_microdollars(params.estimated_cost_usd),
    }


def added_task(  # noqa: PLR0913 - the values of a new row
    params: TaskParams,
    task_id: TaskId,
    number: int,
    now: datetime,
    owner: str,
    *,
    traceparent: str | None = None,
) -> Task:
    """The task that `added_values` stores, as `task_from` would read it."""
    created_at = truncate_to_ms(now)
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
        owner=owner,
        traceparent=traceparent,
    )


def moved_values(moved: Task, before: Task) -> dict[str, object]:
    """The parameters of `queries.MOVE_TASK`."""
    return {
        "id": moved.id,
        "from_status": before.status,
        "from_cycle": before.cycle,
        "lease": before.lease,
        "cycle": moved.cycle,
        "status": moved.status,
        "progress": moved.progress,
        "prediction_id": moved.prediction_id,
        "attempts": moved.attempts,
        "connect_failures": moved.connect_failures,
        "not_before": _time_or_null(moved.not_before),
        "submitted_at": _time_or_null(moved.submitted_at),
        "started_at": _time_or_null(moved.started_at),
        "completed_at": _time_or_null(moved.completed_at),
        "result_data": _json_or_null(moved.result_data),
        "error_data": _json_or_null(moved.error_data),
        "retries": moved.retries,
        "models_tried": _json(moved.models_tried),
        "provider_model": moved.provider_model,
        "provider_input": _json(moved.provider_input),
        "fingerprint": moved.fingerprint,
        "deadline_s": moved.deadline_s,
        "files": _json(moved.files),
        "estimated_cost_usd": moved.estimated_cost_usd,
        "traceparent": moved.traceparent,
        "updated_at": stored_time(moved.updated_at),
    }


def moved_task(moved: Task, stored: Row) -> Task:
    """The task that `moved_values` stores, as `task_from` would read it.

    Args:
        stored: what others may have changed meanwhile.
    """
    return replace(
        moved,
        owner=stored["owner"],
        is_cancel_requested=stored["cancel_requested"] == 1,
        updated_at=truncate_to_ms(moved.updated_at),
        not_before=_ms_or_null(moved.not_before),
        submitted_at=_ms_or_null(moved.submitted_at),
        started_at=_ms_or_null(moved.started_at),
        completed_at=_ms_or_null(moved.completed_at),
    )


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
        "data": _json_or_null(data),
        "at": stored_time(at),
    }


def task_from(row: Row) -> Task:
    """The task of a row. Never raises: an unreadable row affects only its own task.

    `Task.unreadable` names the columns that cannot be read; each gets its default value. A task
    whose prediction may be paid for goes on as long as the columns that it needs are readable:

    - queued: needs every column. No create was sent, and it must match what was asked for.
    - submitting: needs the fingerprint, to find its prediction; no create is sent again.
    - running: needs the prediction's id, and the type, which determines the form of the result.
    - completed: needs the result.

    If one of these cannot be read, the task is failed with the code `internal_error`, and the
    worker sets the row aside.
    """
    values: dict[str, Any] = {"number": row["number"]}
    unreadable: list[str] = []
    for name, (read, _, default) in TASK_COLUMNS.items():
        try:
            values[name] = read(row[name])
        except ValueError:
            values[name] = default
            unreadable.append(name)
    if unreadable:
        _fill_in(values, frozenset(unreadable))
    values["input_data"] = values.pop("input")
    values["is_cancel_requested"] = values.pop("cancel_requested")
    return Task(**values, unreadable=tuple(unreadable))


def set_aside_values(task: Task, now: datetime) -> dict[str, object]:
    """The parameters of `queries.SET_ASIDE` and `queries.ADD_SET_ASIDE_EVENT`."""
    return {
        "number": task.number,
        "lease": task.lease,
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
"""The columns that a task in each state needs; see `task_from`."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_TIMES = ("created_at", "submitted_at", "started_at", "updated_at", "completed_at")


def _fill_in(values: dict[str, Any], unreadable: frozenset[str]) -> None:
    """Complete the values of a row with unreadable columns, so that they make a task."""
    if "id" in unreadable:
        values["id"] = f"unreadable-{values['number']}"
    # The search for a prediction begins at this time: too early is safe, too late is not.
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


def event_from(row: Row) -> TaskEvent:
    """The event of a row; `TaskEvent.unreadable` names the columns that cannot be read."""
    values: dict[str, Any] = {"task_id": row["task_id"]}
    unreadable: list[str] = []
    for name, (read, _, default) in EVENT_COLUMNS.items():
        try:
            values[name] = read(row[name])
        except ValueError:
            values[name] = default
            unreadable.append(name)
    if "data" in unreadable:
        values["data"] = UNREADABLE.error_data
    values["at"] = values["at"] or _EPOCH
    return TaskEvent(**values, unreadable=tuple(unreadable))


def file_hashes(files: object) -> frozenset[str]:
    """The sha256 of each file in the column `files`; empty when the column cannot be read."""
    try:
        return frozenset(str(document["sha256"]) for document in read_files(files))
    except ValueError:
        return frozenset()


# json.dumps would make an encoder for each call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json(value: JSONObject | tuple[object, ...]) -> str:
    return _ENCODER.encode(value)


def _json_or_null(value: JSONObject | None) -> str | None:
    return None if value is None else _json(value)


def _ms_or_null(at: datetime | None) -> datetime | None:
    return None if at is None else truncate_to_ms(at)


def _time_or_null(at: datetime | None) -> str | None:
    return None if at is None else stored_time(at)
