"""The tasks on disk: add, read, move. Who moves first wins, and the row count says who.

Every change is one transaction with its event row. It announces nothing and runs nothing.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import aiosqlite

from phoenix_compat.tasks import queries
from phoenix_compat.tasks.clock import Clock, SystemClock, stored_time
from phoenix_compat.tasks.database import Database
from phoenix_compat.tasks.errors import PredictionTakenError, QueueFullError, TaskNotFoundError
from phoenix_compat.tasks.kinds import TaskParams
from phoenix_compat.tasks.rows import (
    added_values,
    event_from,
    event_values,
    maybe_time,
    moved_values,
    task_from,
)
from phoenix_compat.tasks.task import (
    JSONObject,
    Task,
    TaskChanges,
    TaskEvent,
    TaskId,
    TaskStatus,
)

MAX_QUEUED = 10_000
NEWEST = 2**62
"""A number no task reaches: a list that starts here starts at the newest task."""


class TaskStore:
    """All tasks of this server, in one SQLite file."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    async def open(
        cls,
        path: Path | str,
        schema_sql: str,
        *,
        clock: Clock | None = None,
        busy_timeout_s: float = 5.0,
    ) -> Self:
        """Open or create the store.

        Args:
            path: the database file; its folder is made when missing.
            schema_sql: the text of schema.sql.

        Raises:
            StoreOpenError: corrupt, of another version, in use or not writable; says which.
        """
        database = await Database.open(Path(path), schema_sql, busy_timeout_s=busy_timeout_s)
        return cls(database, clock or SystemClock())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish the writes in hand, checkpoint, and let the file go."""
        await self._database.close()

    async def add(self, params: TaskParams, *, max_queued: int = MAX_QUEUED) -> Task:
        """Put a new task at the end of the queue; it is durable when this returns.

        Raises:
            QueueFullError: `max_queued` tasks wait already.
            StoreUnavailableError: nothing was written.
        """
        task_id = TaskId(str(uuid.uuid4()))
        values = added_values(params, task_id, self._clock.now())

        async def work(connection: aiosqlite.Connection) -> Task:
            if await _scalar(connection, queries.COUNT_QUEUED) >= max_queued:
                raise QueueFullError(max_queued)
            await connection.execute(queries.ADD_TASK, values)
            task = await _task(connection, task_id)
            await _add_event(connection, task, TaskStatus.QUEUED, task.created_at)
            return task

        return await self._database.write(work)

    async def get(self, task_id: str) -> Task | None:
        """One task as it stands now; None when there is none of this id."""
        rows = await self._database.read(queries.GET_TASK, (task_id,))
        return task_from(rows[0]) if rows else None

    async def list(
        self,
        *,
        statuses: Collection[TaskStatus] = frozenset(TaskStatus),
        limit: int = 50,
        before: int = NEWEST,
    ) -> list[Task]:
        """The newest tasks first; `before` is the number of the last task of the page before."""
        params = {"statuses": json.dumps(sorted(statuses)), "limit": limit, "before": before}
        rows = await self._database.read(queries.LIST_TASKS, params)
        return [task_from(row) for row in rows]

    async def events(
        self, task_id: str, *, after: int = 0, limit: int = 100
    ) -> Sequence[TaskEvent]:
        """A task's history, oldest first; empty for a task that does not exist."""
        params = {"task_id": task_id, "after": after, "limit": limit}
        return [event_from(row) for row in await self._database.read(queries.LIST_EVENTS, params)]

    async def due(self, limit: int) -> Sequence[Task]:
        """The longest-waiting queued tasks that may start now."""
        params = {"now": stored_time(self._clock.now()), "limit": limit}
        return [task_from(row) for row in await self._database.read(queries.DUE_TASKS, params)]

    async def next_due(self) -> datetime | None:
        """When the next queued task that must wait may start; None when none must."""
        params = {"now": stored_time(self._clock.now())}
        rows = await self._database.read(queries.NEXT_DUE, params)
        return maybe_time(rows[0][0])

    async def unfinished(self) -> Sequence[Task]:
        """What a stopped server left submitting or running, oldest first."""
        return [task_from(row) for row in await self._database.read(queries.UNFINISHED_TASKS)]

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
        values = moved_values(moved, task.status)

        async def work(connection: aiosqlite.Connection) -> Task | None:
            try:
                cursor = await connection.execute(queries.MOVE_TASK, values)
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                    raise
                raise PredictionTakenError(moved.prediction_id or "") from error
            if cursor.rowcount != 1:
                return None
            data = moved.result_data if to is TaskStatus.COMPLETED else moved.error_data
            await _add_event(connection, moved, to, moved.updated_at, data)
            return await _task(connection, task.id)

        return await self._database.write(work)

    async def record_progress(self, task_id: TaskId, progress: float) -> Task | None:
        """Raise a running task's progress; None when it runs no more or stands higher already."""
        now = stored_time(self._clock.now())
        values = {"id": task_id, "progress": progress, "now": now}

        async def work(connection: aiosqlite.Connection) -> Task | None:
            cursor = await connection.execute(queries.RECORD_PROGRESS, values)
            return await _task(connection, task_id) if cursor.rowcount == 1 else None

        return await self._database.write(work)

    async def request_cancel(self, task_id: str) -> Task:
        """Note the wish that a task end, once; a finished task stays as it is.

        Raises:
            TaskNotFoundError: there is none of this id.
        """
        now = self._clock.now()

        async def work(connection: aiosqlite.Connection) -> Task:
            cursor = await connection.execute(queries.REQUEST_CANCEL, {"id": task_id})
            task = await _task(connection, task_id)
            if cursor.rowcount == 1:
                await _add_event(connection, task, "cancel_requested", now)
            return task

        return await self._database.write(work)


async def _scalar(connection: aiosqlite.Connection, sql: str) -> int:
    (row,) = await connection.execute_fetchall(sql)
    return int(row[0])


async def _task(connection: aiosqlite.Connection, task_id: str) -> Task:
    for row in await connection.execute_fetchall(queries.GET_TASK, (task_id,)):
        return task_from(row)
    raise TaskNotFoundError(task_id)


async def _add_event(
    connection: aiosqlite.Connection,
    task: Task,
    event: str,
    at: datetime,
    data: JSONObject | None = None,
) -> None:
    values = event_values(task, event, at, data)
    await connection.execute(queries.ADD_EVENT, values)
