"""Stores tasks: adds them, reads them, and moves them from state to state.

A change and its event are written in one transaction. When two callers move the same task, the
first one wins and the other gets None. Running tasks and announcing changes is the worker's job.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Unpack

from phoenix_compat.tasks.model.clock import Clock, parse_time, stored_time
from phoenix_compat.tasks.model.errors import (
    KeyReusedError,
    NotFailedError,
    PredictionTakenError,
    TaskNotFoundError,
    UnreadableTaskError,
)
from phoenix_compat.tasks.model.task import Task, TaskChanges, TaskEvent, TaskId, TaskStatus
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.store.columns import CANCEL_REQUESTED
from phoenix_compat.tasks.store.new_task import IdempotencyKey, NewTask
from phoenix_compat.tasks.store.queue_limit import QueueLimit
from phoenix_compat.tasks.store.rows import (
    event_from,
    event_values,
    file_hashes,
    moved_values,
    prediction_values,
    set_aside_values,
    task_from,
)
from phoenix_compat.tasks.store.sqlite import queries
from phoenix_compat.tasks.store.sqlite.database import Database
from phoenix_compat.tasks.store.sqlite_store import SQLiteStore
from phoenix_compat.tasks.store.unreadable_rows import UnreadableRowReporter

__all__ = ["KEY_RETENTION", "MAX_QUEUED", "NEWEST", "IdempotencyKey", "TaskStore"]

MAX_QUEUED = 10_000
KEY_RETENTION = timedelta(hours=24)
"""How long an Idempotency-Key is remembered."""
_IS_TAKEN = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})
_ADOPTED_AT_ONCE = 1_000
NEWEST = 2**62
"""A number above that of every task: a list that starts here starts at the newest task."""


class TaskStore(SQLiteStore):
    """All tasks of this server, in one SQLite file.

    Args:
        database: None while another process has the database open; see `reopen`.
    """

    def __init__(self, database: Database | None, clock: Clock) -> None:
        super().__init__(database, clock)
        self._queue_limit = QueueLimit()
        self._unreadable_rows = UnreadableRowReporter()

    async def add(self, params: TaskParams, *, max_queued: int = MAX_QUEUED) -> Task:
        """Put a new task at the end of the queue; it is durable when this returns.

        Raises:
            QueueFullError: `max_queued` tasks are waiting already.
            StoreUnavailableError: nothing was written.
        """
        new = NewTask(params, self._clock.now())
        return await self._database.write(lambda connection: self._add(connection, new, max_queued))

    async def add_once(
        self, params: TaskParams, idempotency_key: IdempotencyKey, *, max_queued: int = MAX_QUEUED
    ) -> tuple[Task, bool]:
        """Put a new task at the end of the queue, unless the key already has a task.

        Key and task are written in one transaction, so concurrent requests with the same key add
        one task. A key is forgotten after `KEY_RETENTION`.

        Returns:
            The key's current task, and whether it existed before.

        Raises:
            KeyReusedError: the key was used before, with a different body.
            QueueFullError: `max_queued` tasks are waiting already.
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()
        new = NewTask(params, now)
        key = idempotency_key.key

        def work(connection: sqlite3.Connection) -> tuple[Task, bool]:
            old = {"before": stored_time(now - KEY_RETENTION), "tomorrow": _tomorrow(now)}
            connection.execute(queries.DELETE_OLD_KEYS, old)
            for row in connection.execute(queries.GET_KEY, (key,)):
                if row["body_fingerprint"] != idempotency_key.body_fingerprint:
                    raise KeyReusedError(key)
                for found in connection.execute(queries.GET_TASK, (row["task_id"],)):
                    return self._read(found), True
                connection.execute(queries.DELETE_KEY, (key,))
            task = self._add(connection, new, max_queued)
            values = (key, idempotency_key.body_fingerprint, task.id, stored_time(now))
            connection.execute(queries.ADD_KEY, values)
            return task, False

        return await self._database.write(work)

    async def retry(
        self, task_id: str, params: TaskParams, *, max_queued: int = MAX_QUEUED
    ) -> Task:
        """Queue a failed task again, in a new cycle without anything of the last one.

        Args:
            params: from the task's input, since the last cycle may have used a fallback model.

        Raises:
            TaskNotFoundError: there is no task with this id.
            NotFailedError: it is processing or completed.
            UnreadableTaskError: its row cannot be read.
            QueueFullError: `max_queued` tasks are waiting already.
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> Task:
            task = self._task(connection, task_id)
            if task.unreadable:
                raise UnreadableTaskError(task.id, task.unreadable)
            if task.status is not TaskStatus.FAILED:
                raise NotFailedError(task.id, task.status.wire)
            self._queue_limit.reserve(connection, max_queued)
            retried = task.moved(
                TaskStatus.QUEUED,
                now,
                provider_input=params.provider_input,
                fingerprint=params.fingerprint,
                estimated_cost_usd=params.estimated_cost_usd,
            )
            connection.execute(queries.MOVE_TASK, moved_values(retried, task))
            _add_event(connection, retried, TaskStatus.QUEUED, now)
            return self._task(connection, task.id)

        return await self._database.write(work)

    async def get(self, task_id: str) -> Task | None:
        """The task with this id; None when there is none."""
        rows = await self._database.read(queries.GET_TASK, (task_id,))
        return self._read(rows[0]) if rows else None

    async def by_prediction(self, prediction_id: str) -> Task | None:
        """The task that has this prediction now; None when no task has it (any more)."""
        rows = await self._database.read(queries.GET_BY_PREDICTION, (prediction_id,))
        return self._read(rows[0]) if rows else None

    async def queue_position(self, task_id: str) -> int | None:
        """A queued task's position, 1 for the next one to run; None when it is not queued."""
        ((position,),) = await self._database.read(queries.QUEUE_POSITION, (task_id,))
        return position or None

    async def list(
        self,
        *,
        statuses: Collection[TaskStatus] = frozenset(TaskStatus),
        limit: int = 50,
        before: int = NEWEST,
    ) -> list[Task]:
        """Tasks, newest first.

        Args:
            before: only tasks with smaller numbers: the last number of the previous page.
        """
        params: dict[str, object] = {"limit": limit, "before": before}
        if statuses == frozenset(TaskStatus):
            rows = await self._database.read(queries.LIST_ALL_TASKS, params)
        else:
            params["statuses"] = json.dumps(sorted(statuses))
            rows = await self._database.read(queries.LIST_TASKS, params)
        return [self._read(row) for row in rows]

    async def events(
        self, task_id: str, *, after: int = 0, limit: int = 100
    ) -> Sequence[TaskEvent]:
        """A task's history, oldest first; empty when there is no such task."""
        params = {"task_id": task_id, "after": after, "limit": limit}
        rows = await self._database.read(queries.LIST_EVENTS, params)
        events = [event_from(row) for row in rows]
        self._unreadable_rows.report_events(events)
        return events

    async def due(self, limit: int) -> Sequence[Task]:
        """The queued tasks that may start now, oldest first."""
        now = self._clock.now()
        params = {"now": stored_time(now), "tomorrow": _tomorrow(now), "limit": limit}
        return [self._read(row) for row in await self._database.read(queries.DUE_TASKS, params)]

    async def next_due(self) -> datetime | None:
        """The time when the next waiting task may start; None when no task has to wait."""
        now = self._clock.now()
        params = {"now": stored_time(now), "tomorrow": _tomorrow(now)}
        ((text,),) = await self._database.read(queries.NEXT_DUE, params)
        return None if text is None else parse_time(text)

    async def unfinished(self) -> Sequence[Task]:
        """Tasks that are submitting or running, oldest first; for the start of a server.

        Tasks in an unknown state are among them, as failed.
        """
        return [self._read(row) for row in await self._database.read(queries.UNFINISHED_TASKS)]

    async def move(self, task: Task, to: TaskStatus, **changes: Unpack[TaskChanges]) -> Task | None:
        """Move a task from its state to another, with an event, in one transaction.

        Returns:
            The task after the move, or None: someone else has moved it first.

        Raises:
            IllegalMoveError: `LEGAL_MOVES` does not have this move.
            PredictionTakenError: `prediction_id` belongs to another task.
            StoreUnavailableError: nothing was written.
        """
        moved = task.moved(to, self._clock.now(), **changes)
        values = moved_values(moved, task)

        def work(connection: sqlite3.Connection) -> Task | None:
            try:
                if connection.execute(queries.MOVE_TASK, values).rowcount != 1:
                    return None
                if to is TaskStatus.QUEUED:
                    self._queue_limit.reserve(connection)
                if moved.prediction_id is not None and moved.prediction_id != task.prediction_id:
                    connection.execute(queries.ADD_PREDICTION, prediction_values(moved))
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorcode not in _IS_TAKEN:
                    raise
                raise PredictionTakenError(moved.prediction_id or "") from error
            data = moved.result_data if to is TaskStatus.COMPLETED else moved.error_data
            _add_event(connection, moved, to, moved.updated_at, data)
            return self._task(connection, task.id)

        return await self._database.write(work)

    async def record_progress(self, task_id: TaskId, progress: float) -> Task | None:
        """Raise a running task's progress.

        Returns:
            The task, or None: it is no longer running, or its progress is not lower.
        """
        now = stored_time(self._clock.now())
        values = {"id": task_id, "progress": progress, "now": now}

        def work(connection: sqlite3.Connection) -> Task | None:
            cursor = connection.execute(queries.RECORD_PROGRESS, values)
            return self._task(connection, task_id) if cursor.rowcount == 1 else None

        return await self._database.write(work)

    async def request_cancel(self, task_id: str) -> Task:
        """Record that a client wants to cancel a task; a finished task is not changed.

        A repeated request changes nothing. The worker carries out the cancel.

        Raises:
            TaskNotFoundError: there is no task with this id.
        """
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> Task:
            cursor = connection.execute(queries.REQUEST_CANCEL, {"id": task_id})
            task = self._task(connection, task_id)
            if cursor.rowcount == 1 and not task.is_set_aside:
                _add_event(connection, task, CANCEL_REQUESTED, now)
            return task

        return await self._database.write(work)

    async def set_aside(self, task: Task) -> Task | None:
        """Fail a task whose row cannot be read, with an event, in one transaction.

        The unreadable values are not changed, so they can still be repaired by hand.

        Returns:
            The task after the change, or None: it had ended already.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        values = set_aside_values(task, self._clock.now())

        def work(connection: sqlite3.Connection) -> Task | None:
            if connection.execute(queries.SET_ASIDE, values).rowcount != 1:
                return None
            connection.execute(queries.ADD_SET_ASIDE_EVENT, values)
            for row in connection.execute(queries.GET_NUMBER, (task.number,)):
                return self._read(row)
            return None

        return await self._database.write(work)

    async def ended_before(self, at: datetime, limit: int) -> dict[int, frozenset[str]]:
        """The oldest tasks that ended before a time: number -> sha256 of its stored files."""
        rows = await self._database.read(queries.ENDED_BEFORE, {**self._ended(at), "limit": limit})
        return {int(row["number"]): file_hashes(row["files"]) for row in rows}

    async def shared_hashes(
        self, hashes: Collection[str], numbers: Collection[int]
    ) -> frozenset[str]:
        """Which of these files are also files of tasks other than these."""
        params = {"hashes": json.dumps(sorted(hashes)), "numbers": json.dumps(sorted(numbers))}
        rows = await self._database.read(queries.SHARED_HASHES, params)
        return frozenset(str(row[0]) for row in rows)

    async def delete_ended(self, numbers: Collection[int], before: datetime) -> int:
        """Delete those of these tasks that ended before a time.

        Returns:
            How many were deleted.

        Raises:
            StoreUnavailableError: nothing was deleted.
        """
        params = {"numbers": json.dumps(sorted(numbers)), **self._ended(before)}
        return await self._database.write(
            lambda connection: connection.execute(queries.DELETE_TASKS, params).rowcount
        )

    async def adopt(self, owner: str) -> int:
        """Give the tasks that belong to nobody, and their idempotency keys, to an owner.

        Each transaction takes some of them, so that other writes do not wait long. If it is
        interrupted, calling it again continues it.

        Returns:
            How many tasks it were.

        Raises:
            StoreUnavailableError: the rest was not written.
        """
        ((last,),) = await self._database.read(queries.LAST_NUMBER)
        params = {"owner": owner, "after": 0, "last": last, "limit": _ADOPTED_AT_ONCE}
        count = 0

        def work(connection: sqlite3.Connection) -> list[int]:
            numbers = [int(row[0]) for row in connection.execute(queries.ADOPT_TASKS, params)]
            keys = {"owner": owner, "numbers": json.dumps(numbers)}
            connection.execute(queries.ADOPT_KEYS, keys)
            return numbers

        while numbers := await self._database.write(work):
            count += len(numbers)
            params["after"] = max(numbers)
        return count

    def _ended(self, before: datetime) -> dict[str, object]:
        return {"before": stored_time(before), "tomorrow": _tomorrow(self._clock.now())}

    def _read(self, row: sqlite3.Row) -> Task:
        task = task_from(row)
        if task.unreadable:
            self._unreadable_rows.report(task)
        return task

    def _task(self, connection: sqlite3.Connection, task_id: str) -> Task:
        for row in connection.execute(queries.GET_TASK, (task_id,)):
            return self._read(row)
        raise TaskNotFoundError(task_id)

    def _add(self, connection: sqlite3.Connection, new: NewTask, max_queued: int) -> Task:
        self._queue_limit.reserve(connection, max_queued)
        number = connection.execute(queries.ADD_TASK, new.values).lastrowid or 0
        connection.execute(queries.ADD_FIRST_EVENT, new.values)
        return new.task(number)


def _tomorrow(now: datetime) -> str:
    """An upper bound of stored times: later ones come from a wrong clock or a broken row."""
    return stored_time(now + timedelta(days=1))


def _add_event(
    connection: sqlite3.Connection,
    task: Task,
    event: str,
    at: datetime,
    data: dict[str, Any] | None = None,
) -> None:
    connection.execute(queries.ADD_EVENT, event_values(task, event, at, data))
