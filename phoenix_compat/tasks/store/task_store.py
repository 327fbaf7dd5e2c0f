"""The tasks on disk: add, read, move. Who moves first wins, and the row count says who.

Every change is one transaction with its event row. It announces nothing and runs nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Unpack

from phoenix_compat.tasks.model.clock import Clock, parsed_time, stored_time
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
from phoenix_compat.tasks.store.new_task import NewTask, OnceOnly
from phoenix_compat.tasks.store.open_store import OpenStore
from phoenix_compat.tasks.store.queue_limit import QueueLimit
from phoenix_compat.tasks.store.rows import (
    event_from,
    event_values,
    kept_hashes,
    moved_values,
    prediction_values,
    set_aside_values,
    task_from,
)
from phoenix_compat.tasks.store.sqlite import queries
from phoenix_compat.tasks.store.sqlite.database import Database
from phoenix_compat.tasks.store.unreadable import Unreadable

__all__ = ["KEY_RETENTION", "MAX_QUEUED", "NEWEST", "OnceOnly", "TaskStore"]

MAX_QUEUED = 10_000
KEY_RETENTION = timedelta(hours=24)
"""How long a repeated order is known as the same one."""
_IS_TAKEN = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})
NEWEST = 2**62
"""A number no task reaches: a list that starts here starts at the newest task."""


class TaskStore(OpenStore):
    """All tasks of this server, in one SQLite file.

    Args:
        database: None for a store that another process has open; see `reopen`.
    """

    def __init__(self, database: Database | None, clock: Clock) -> None:
        super().__init__(database, clock)
        self._queue_limit = QueueLimit()
        self._unreadable = Unreadable()

    async def add(self, params: TaskParams, *, max_queued: int = MAX_QUEUED) -> Task:
        """Put a new task at the end of the queue; it is durable when this returns.

        Raises:
            QueueFullError: `max_queued` tasks wait already.
            StoreUnavailableError: nothing was written.
        """
        new = NewTask(params, self._clock.now())
        return await self._database.write(lambda connection: self._add(connection, new, max_queued))

    async def add_once(
        self, params: TaskParams, order: OnceOnly, *, max_queued: int = MAX_QUEUED
    ) -> tuple[Task, bool]:
        """Put a new task at the end of the queue, unless its key has made one already.

        Key and task are one transaction, so of many at once one makes the task. A key is forgotten
        after `KEY_RETENTION`.

        Returns:
            The key's task as it stands now, and whether it was there before.

        Raises:
            KeyReusedError: the key came with another body before.
            QueueFullError: `max_queued` tasks wait already.
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()
        new = NewTask(params, now)

        def work(connection: sqlite3.Connection) -> tuple[Task, bool]:
            old = {"before": stored_time(now - KEY_RETENTION), "tomorrow": _tomorrow(now)}
            connection.execute(queries.PRUNE_KEYS, old)
            for row in connection.execute(queries.GET_KEY, (order.key,)):
                if row["body_fingerprint"] != order.body_fingerprint:
                    raise KeyReusedError(order.key)
                for found in connection.execute(queries.GET_TASK, (row["task_id"],)):
                    return self._read(found), True
                connection.execute(queries.FORGET_KEY, (order.key,))
            task = self._add(connection, new, max_queued)
            key = (order.key, order.body_fingerprint, task.id, stored_time(now))
            connection.execute(queries.ADD_KEY, key)
            return task, False

        return await self._database.write(work)

    async def retry(
        self, task_id: str, params: TaskParams, *, max_queued: int = MAX_QUEUED
    ) -> Task:
        """Queue a failed task again, as the same task in a new cycle that remembers no failure.

        Args:
            params: what its input asks for; another model may have stepped in the last time.

        Raises:
            TaskNotFoundError: there is none of this id.
            NotFailedError: it is under way or completed.
            UnreadableTaskError: what is stored of it cannot be read.
            QueueFullError: `max_queued` tasks wait already.
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> Task:
            task = self._task(connection, task_id)
            if task.unreadable:
                raise UnreadableTaskError(task.id, task.unreadable)
            if task.status is not TaskStatus.FAILED:
                raise NotFailedError(task.id, task.status.wire)
            self._queue_limit.take(connection, max_queued)
            again = task.moved(
                TaskStatus.QUEUED,
                now,
                provider_input=params.provider_input,
                fingerprint=params.fingerprint,
                estimated_cost_usd=params.estimated_cost_usd,
            )
            connection.execute(queries.MOVE_TASK, moved_values(again, task))
            _add_event(connection, again, TaskStatus.QUEUED, now)
            return self._task(connection, task.id)

        return await self._database.write(work)

    async def get(self, task_id: str) -> Task | None:
        """One task as it stands now; None when there is none of this id."""
        rows = await self._database.read(queries.GET_TASK, (task_id,))
        return self._read(rows[0]) if rows else None

    async def by_prediction(self, prediction_id: str) -> Task | None:
        """The task that runs this prediction now; None for one that it let go, or none had."""
        rows = await self._database.read(queries.GET_BY_PREDICTION, (prediction_id,))
        return self._read(rows[0]) if rows else None

    async def queue_position(self, task_id: str) -> int | None:
        """A queued task's place, 1 for the next to run; None when it does not wait."""
        ((position,),) = await self._database.read(queries.QUEUE_POSITION, (task_id,))
        return position or None

    async def list(
        self,
        *,
        statuses: Collection[TaskStatus] = frozenset(TaskStatus),
        limit: int = 50,
        before: int = NEWEST,
    ) -> list[Task]:
        """The newest tasks first; `before` is the number of the last task of the page before."""
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
        """A task's history, oldest first; empty for a task that does not exist."""
        params = {"task_id": task_id, "after": after, "limit": limit}
        rows = await self._database.read(queries.LIST_EVENTS, params)
        events = [event_from(row) for row in rows]
        self._unreadable.note_events(events)
        return events

    async def due(self, limit: int) -> Sequence[Task]:
        """The longest-waiting queued tasks that may start now."""
        now = self._clock.now()
        params = {"now": stored_time(now), "tomorrow": _tomorrow(now), "limit": limit}
        return [self._read(row) for row in await self._database.read(queries.DUE_TASKS, params)]

    async def next_due(self) -> datetime | None:
        """When the next queued task that must wait may start; None when none must."""
        now = self._clock.now()
        params = {"now": stored_time(now), "tomorrow": _tomorrow(now)}
        ((text,),) = await self._database.read(queries.NEXT_DUE, params)
        return None if text is None else parsed_time(text)

    async def unfinished(self) -> Sequence[Task]:
        """What a stopped server left submitting or running, oldest first.

        With it comes what is in no state that is known, as failed.
        """
        return [self._read(row) for row in await self._database.read(queries.UNFINISHED_TASKS)]

    async def move(self, task: Task, to: TaskStatus, **changes: Unpack[TaskChanges]) -> Task | None:
        """Move a task from the state it is in to another, with its event, in one transaction.

        Returns:
            The task as it stands now, or None: another mover was faster and nothing changed.

        Raises:
            IllegalMoveError: there is no such move.
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
                    self._queue_limit.take(connection)
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
        """Raise a running task's progress; None when it runs no more or stands higher already."""
        now = stored_time(self._clock.now())
        values = {"id": task_id, "progress": progress, "now": now}

        def work(connection: sqlite3.Connection) -> Task | None:
            cursor = connection.execute(queries.RECORD_PROGRESS, values)
            return self._task(connection, task_id) if cursor.rowcount == 1 else None

        return await self._database.write(work)

    async def request_cancel(self, task_id: str) -> Task:
        """Note the wish that a task end, once; a finished task stays as it is.

        Raises:
            TaskNotFoundError: there is none of this id.
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
        """End a task whose row cannot be read as failed, with its event, in one transaction.

        What cannot be read stays as it is, for whoever wants to mend it by hand.

        Returns:
            The task as it stands now, or None: it has ended already.

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
        """The oldest tasks that ended before a time: by number, the sha256 of its kept files."""
        rows = await self._database.read(queries.ENDED_BEFORE, {**self._ended(at), "limit": limit})
        return {int(row["number"]): kept_hashes(row["files"]) for row in rows}

    async def kept_elsewhere(
        self, hashes: Collection[str], numbers: Collection[int]
    ) -> frozenset[str]:
        """Which of these files other tasks than these have too."""
        params = {"hashes": json.dumps(sorted(hashes)), "numbers": json.dumps(sorted(numbers))}
        rows = await self._database.read(queries.KEPT_ELSEWHERE, params)
        return frozenset(str(row[0]) for row in rows)

    async def forget(self, numbers: Collection[int], before: datetime) -> int:
        """Delete those of the tasks that ended before a time; how many there were.

        Raises:
            StoreUnavailableError: nothing was deleted.
        """
        params = {"numbers": json.dumps(sorted(numbers)), **self._ended(before)}
        return await self._database.write(
            lambda connection: connection.execute(queries.FORGET_TASKS, params).rowcount
        )

    def _ended(self, before: datetime) -> dict[str, object]:
        return {"before": stored_time(before), "tomorrow": _tomorrow(self._clock.now())}

    def _read(self, row: sqlite3.Row) -> Task:
        task = task_from(row)
        if task.unreadable:
            self._unreadable.note(task)
        return task

    def _task(self, connection: sqlite3.Connection, task_id: str) -> Task:
        for row in connection.execute(queries.GET_TASK, (task_id,)):
            return self._read(row)
        raise TaskNotFoundError(task_id)

    def _add(self, connection: sqlite3.Connection, new: NewTask, max_queued: int) -> Task:
        self._queue_limit.take(connection, max_queued)
        number = connection.execute(queries.ADD_TASK, new.values).lastrowid or 0
        connection.execute(queries.ADD_FIRST_EVENT, new.values)
        return new.task(number)


def _tomorrow(now: datetime) -> str:
    """A time that no task waits for, and nothing has happened at."""
    return stored_time(now + timedelta(days=1))


def _add_event(
    connection: sqlite3.Connection,
    task: Task,
    event: str,
    at: datetime,
    data: dict[str, Any] | None = None,
) -> None:
    connection.execute(queries.ADD_EVENT, event_values(task, event, at, data))
