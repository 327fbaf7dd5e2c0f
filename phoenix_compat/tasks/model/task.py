"""A task as a value: its states, its legal moves, and its JSON forms for clients. No I/O.

              ┌─ not sent, throttled, not found, or to be repeated ┐
              ▼                                                    │
  (POST) → queued ──committed before the create──→ submitting ─────┤
            │ ▲                                        │           │
            │ └─ retried ────┐                         └─ id ──→ running ──→ completed
            └────────────→ failed ←────────────────────┴───────────┘

Rules: completed and failed are final, except that a client's retry moves a failed task back to
queued, in a new cycle. Progress rises only while the task is running, and never falls within a
cycle. Clients see three states: processing, completed and failed; processing stands for the first
three.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType, TypeAlias, TypedDict, Unpack

import msgspec
from msgspec.structs import replace

from phoenix_compat.tasks.model.clock import wire_time
from phoenix_compat.tasks.model.errors import IllegalMoveError
from phoenix_compat.tasks.model.file_links import with_file_links

TaskId = NewType("TaskId", str)

JSONObject: TypeAlias = dict[str, Any]
"""A parsed JSON object."""

UNREADABLE_OWNER = "\n"
"""Stands for a stored owner that cannot be read. It equals no owner: they are on one line."""

PROGRESS_STARTED = 0.1
PROGRESS_LIMIT = 0.95
"""The highest progress of a task that has not completed."""


class TaskStatus(StrEnum):
    """The state of a task."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the task has ended; only a client's retry changes it then."""
        return self in TERMINAL

    @property
    def wire(self) -> str:
        """The state as clients see it: processing, completed or failed."""
        return self.value if self.is_terminal else "processing"


LEGAL_MOVES: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.QUEUED: frozenset({TaskStatus.SUBMITTING, TaskStatus.FAILED}),
    TaskStatus.SUBMITTING: frozenset({TaskStatus.RUNNING, TaskStatus.QUEUED, TaskStatus.FAILED}),
    TaskStatus.RUNNING: frozenset({TaskStatus.COMPLETED, TaskStatus.QUEUED, TaskStatus.FAILED}),
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset({TaskStatus.QUEUED}),
}

TERMINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED})
UNFINISHED = frozenset(TaskStatus) - TERMINAL


class TaskChanges(TypedDict, total=False):
    """What a move may change besides the status.

    `provider_input` and `fingerprint` change together with `provider_model`, when a fallback model
    is used.
    """

    progress: float
    prediction_id: str | None
    attempts: int
    connect_failures: int
    not_before: datetime | None
    submitted_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    result_data: JSONObject | None
    error_data: JSONObject | None
    retries: int
    models_tried: tuple[str, ...]
    provider_model: str | None
    provider_input: JSONObject
    fingerprint: str
    deadline_s: float | None
    files: tuple[JSONObject, ...]
    estimated_cost_usd: float | None
    traceparent: str | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asked for, as it is stored. schema.sql explains the columns.

    It is made and changed for each request and each step of a task: a frozen dataclass with so many
    fields would take twenty times as long.

    Attributes:
        owner: who may see it; "" for nobody in particular, or `UNREADABLE_OWNER`.
        traceparent: the trace that it belongs to; see `trace_context`.
        lease: how often a node has taken it, where several share the store. A change that names an
            earlier lease is refused, so a node changes nothing that another one has taken over.
        unreadable: columns whose stored value cannot be read; see `rows.task_from`.
    """

    id: TaskId
    number: int
    type: str
    task_type: str
    model: str
    input_data: JSONObject
    provider_input: JSONObject
    fingerprint: str
    status: TaskStatus
    created_at: datetime
    updated_at: datetime
    progress: float = 0.0
    prediction_id: str | None = None
    attempts: int = 0
    connect_failures: int = 0
    is_cancel_requested: bool = False
    not_before: datetime | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result_data: JSONObject | None = None
    error_data: JSONObject | None = None
    cycle: int = 1
    retries: int = 0
    models_tried: tuple[str, ...] = ()
    provider_model: str | None = None
    deadline_s: float | None = None
    files: tuple[JSONObject, ...] = ()
    estimated_cost_usd: float | None = None
    owner: str = ""
    traceparent: str | None = None
    lease: int = 0
    unreadable: tuple[str, ...] = ()

    @property
    def is_set_aside(self) -> bool:
        """Whether it is shown as failed because its row cannot be read."""
        return bool(self.unreadable) and self.status is TaskStatus.FAILED

    @property
    def running_model(self) -> str:
        """The model that runs: `model`, or the fallback model that is used instead."""
        return self.provider_model or self.model

    def as_posted(self) -> Task:
        """The task as it was right after it was added, for the reply to a repeated POST."""
        return replace(self, status=TaskStatus.QUEUED, progress=0.0)

    def without_inputs(self) -> Task:
        """The task as its clients watch it: they do not get the inputs, which may be long."""
        return replace(self, input_data={}, provider_input={})

    @property
    def topic(self) -> str:
        """The channel topic that clients join."""
        return f"task:{self.id}"

    def moved(self, to: TaskStatus, at: datetime, **changes: Unpack[TaskChanges]) -> Task:
        """The task after a move to another state; a move from failed begins a new cycle.

        Raises:
            IllegalMoveError: `LEGAL_MOVES` does not have this move.
        """
        if to not in LEGAL_MOVES[self.status]:
            raise IllegalMoveError(self.id, self.status, to)
        if self.status is TaskStatus.FAILED:
            return self._retried(at, changes)
        if to.is_terminal:
            changes.setdefault("completed_at", at)
            changes["progress"] = 1.0 if to is TaskStatus.COMPLETED else 0.0
        return replace(self, status=to, updated_at=at, **changes)

    def _retried(self, at: datetime, changes: TaskChanges) -> Task:
        """The task in a new cycle: as it was posted, without anything of the last cycle."""
        return Task(
            id=self.id,
            number=self.number,
            type=self.type,
            task_type=self.task_type,
            model=self.model,
            input_data=self.input_data,
            status=TaskStatus.QUEUED,
            created_at=self.created_at,
            updated_at=at,
            cycle=self.cycle + 1,
            provider_input=changes.get("provider_input", self.provider_input),
            fingerprint=changes.get("fingerprint", self.fingerprint),
            deadline_s=changes.get("deadline_s", self.deadline_s),
            estimated_cost_usd=changes.get("estimated_cost_usd", self.estimated_cost_usd),
            owner=self.owner,
            traceparent=changes.get("traceparent", self.traceparent),
            lease=self.lease,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """One entry of a task's history; `seq` counts from 1 within the task."""

    task_id: TaskId
    seq: int
    event: str
    status: TaskStatus
    progress: float
    at: datetime
    data: JSONObject | None = None
    unreadable: tuple[str, ...] = ()


def progress_payload(task: Task, base_url: str = "") -> JSONObject:
    """The payload of the channel event "progress": the task's current state.

        {"task_id", "progress": float, "status": processing|completed|failed, "timestamp"}
        + "result_data" when completed, + "error_data" when failed

    `progress` is always a float: 0.0 when queued or failed, 1.0 when completed.

    Args:
        base_url: for the links to files; see `with_file_links`.
    """
    payload: JSONObject = {
        "task_id": task.id,
        "progress": float(task.progress),
        "status": task.status.wire,
        "timestamp": wire_time(task.updated_at),
    }
    if task.status is TaskStatus.COMPLETED:
        payload["result_data"] = with_file_links(task.result_data or {}, task.files, base_url)
    elif task.status is TaskStatus.FAILED:
        payload["error_data"] = task.error_data or {}
    return payload


def task_summary(task: Task) -> JSONObject:
    """The body of the answer to POST /api/tasks.

    `status` is the state as on the channel, `state` is the stored one; `links` are paths.
    """
    path = f"/api/tasks/{task.id}"
    return {
        "task_id": task.id,
        "status": task.status.wire,
        "state": task.status.value,
        "progress": float(task.progress),
        "task_type": task.task_type,
        "model": task.model,
        "created_at": wire_time(task.created_at),
        "topic": task.topic,
        "links": {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel"},
    }


def task_list_entry(task: Task, *, base_url: str = "", with_owner: bool = False) -> JSONObject:
    """A task in the answer to GET /api/tasks: everything but the input, which may be long.

    Keys without a value are left out, never null.

    Args:
        base_url: for the links to files; see `with_file_links`.
        with_owner: whether to name the owner, which only operators see.
    """
    document = task_summary(task)
    document["updated_at"] = wire_time(task.updated_at)
    if with_owner and task.owner not in {"", UNREADABLE_OWNER}:
        document["owner"] = task.owner
    if task.estimated_cost_usd is not None:
        document["estimated_cost_usd"] = task.estimated_cost_usd
    if task.completed_at is not None:
        document["completed_at"] = wire_time(task.completed_at)
    if task.prediction_id is not None:
        document["prediction_id"] = task.prediction_id
    if task.result_data is not None:
        document["result_data"] = with_file_links(task.result_data, task.files, base_url)
    if task.error_data is not None:
        document["error_data"] = task.error_data
    return document


def task_document(
    task: Task,
    queue_position: int | None = None,
    *,
    base_url: str = "",
    with_owner: bool = False,
) -> JSONObject:
    """The body of the answer to GET /api/tasks/{id}: `task_list_entry` and the input.

    Args:
        queue_position: 1 for the next task to run; None unless the task is queued.
        base_url, with_owner: see `task_list_entry`.
    """
    document = task_list_entry(task, base_url=base_url, with_owner=with_owner)
    document["input_data"] = task.input_data
    if queue_position is not None:
        document["queue_position"] = queue_position
    return document
