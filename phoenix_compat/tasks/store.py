"""The tasks on disk: add, read, move. Who moves first wins, and the row count says who.

Every change is one transaction with its event row. It announces nothing and runs nothing.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from phoenix_compat.tasks import queries
from phoenix_compat.tasks.clock import Clock, SystemClock, stored_time
from phoenix_compat.tasks.database import Database
from phoenix_compat.tasks.errors import (
    KeyReusedError,
    NotFailedError,
    PredictionTakenError,
    StoreUnavailableError,
    TaskNotFoundError,
)
from phoenix_compat.tasks.kinds import TaskParams
from phoenix_compat.tasks.room import Room
from phoenix_compat.tasks.rows import (
    added_task,
    added_values,
    event_from,
    event_values,
    kept_hashes,
    maybe_time,
    moved_values,
    prediction_values,
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
from phoenix_compat.tasks.writer import WriteCounts

MAX_QUEUED = 10_000
KEY_RETENTION = timedelta(hours=24)
"""How long a repeated order is known as the same one."""
_IS_TAKEN = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})
NEWEST = 2**62
"""A number no task reaches: a list that starts here starts at the newest task."""


@dataclass(frozen=True, slots=True)
class OnceOnly:
    """A client's word that an order, however often it arrives, is one.

    Attributes:
        key: the client's name for it.
        body_fingerprint: sha256 of the body, to tell a repetition from a mistake.
    """

    key: str
    body_fingerprint: str


class TaskStore:
    """All tasks of this server, in one SQLite file.

    Args:
        database: None for a store that another process has open; see `reopen`.
    """

    def __init__(self, database: Database | None, clock: Clock) -> None:
        self._opened = database
        self._clock = clock
        self._room = Room()

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

    async def reopen(
        self, path: Path | str, schema_sql: str, *, busy_timeout_s: float = 5.0
    ) -> None:
        """Open a store that was made without a database: no other process has it now.

        Raises:
            StoreInUseError: one still has.
            StoreOpenError: as of `open`.
        """
        self._opened = await Database.open(Path(path), schema_sql, busy_timeout_s=busy_timeout_s)

    @property
    def _database(self) -> Database:
        if self._opened is None:
            raise StoreUnavailableError("another process has the database")
        return self._opened

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def write_counts(self) -> WriteCounts:
        """How many writes and commits there were since it was opened."""
        return self._database.write_counts

    async def close(self) -> None:
        """Finish the writes in hand, checkpoint, and let the file go."""
        if self._opened is not None:
            await self._opened.close()

    async def add(self, params: TaskParams, *, max_queued: int = MAX_QUEUED) -> Task:
        """Put a new task at the end of the queue; it is durable when this returns.

        Raises:
            QueueFullError: `max_queued` tasks wait already.
            StoreUnavailableError: nothing was written.
        """
        new = _New(params, self._clock.now())
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
        new = _New(params, now)

        def work(connection: sqlite3.Connection) -> tuple[Task, bool]:
            connection.execute(queries.PRUNE_KEYS, (stored_time(now - KEY_RETENTION),))
            for row in connection.execute(queries.GET_KEY, (order.key,)):
                if row["body_fingerprint"] != order.body_fingerprint:
                    raise KeyReusedError(order.key)
                return _task(connection, row["task_id"]), True
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
            QueueFullError: `max_queued` tasks wait already.
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> Task:
            task = _task(connection, task_id)
            if task.status is not TaskStatus.FAILED:
                raise NotFailedError(task.id, task.status.wire)
            self._room.take(connection, max_queued)
            again = task.moved(
                TaskStatus.QUEUED,
                now,
                provider_input=params.provider_input,
                fingerprint=params.fingerprint,
                estimated_cost_usd=params.estimated_cost_usd,
            )
            connection.execute(queries.MOVE_TASK, moved_values(again, task))
            _add_event(connection, again, TaskStatus.QUEUED, now)
            return _task(connection, task.id)

        return await self._database.write(work)

    async def get(self, task_id: str) -> Task | None:
        """One task as it stands now; None when there is none of this id."""
        rows = await self._database.read(queries.GET_TASK, (task_id,))
        return task_from(rows[0]) if rows else None

    async def by_prediction(self, prediction_id: str) -> Task | None:
        """The task that runs this prediction now; None for one that it let go, or none had."""
        rows = await self._database.read(queries.GET_BY_PREDICTION, (prediction_id,))
        return task_from(rows[0]) if rows else None

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
        values = moved_values(moved, task)

        def work(connection: sqlite3.Connection) -> Task | None:
            try:
                if connection.execute(queries.MOVE_TASK, values).rowcount != 1:
                    return None
                if to is TaskStatus.QUEUED:
                    self._room.take(connection)
                if moved.prediction_id is not None and moved.prediction_id != task.prediction_id:
                    connection.execute(queries.ADD_PREDICTION, prediction_values(moved))
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorcode not in _IS_TAKEN:
                    raise
                raise PredictionTakenError(moved.prediction_id or "") from error
            data = moved.result_data if to is TaskStatus.COMPLETED else moved.error_data
            _add_event(connection, moved, to, moved.updated_at, data)
            return _task(connection, task.id)

        return await self._database.write(work)

    async def record_progress(self, task_id: TaskId, progress: float) -> Task | None:
        """Raise a running task's progress; None when it runs no more or stands higher already."""
        now = stored_time(self._clock.now())
        values = {"id": task_id, "progress": progress, "now": now}

        def work(connection: sqlite3.Connection) -> Task | None:
            cursor = connection.execute(queries.RECORD_PROGRESS, values)
            return _task(connection, task_id) if cursor.rowcount == 1 else None

        return await self._database.write(work)

    async def request_cancel(self, task_id: str) -> Task:
        """Note the wish that a task end, once; a finished task stays as it is.

        Raises:
            TaskNotFoundError: there is none of this id.
        """
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> Task:
            cursor = connection.execute(queries.REQUEST_CANCEL, {"id": task_id})
            task = _task(connection, task_id)
            if cursor.rowcount == 1:
                _add_event(connection, task, "cancel_requested", now)
            return task

        return await self._database.write(work)

    async def ended_before(self, at: datetime, limit: int) -> dict[TaskId, frozenset[str]]:
        """The oldest tasks that ended before a time, each with the sha256 of its kept files."""
        params = {"before": stored_time(at), "limit": limit}
        rows = await self._database.read(queries.ENDED_BEFORE, params)
        return {TaskId(row["id"]): kept_hashes(row["files"]) for row in rows}

    async def kept_elsewhere(
        self, hashes: Collection[str], ids: Collection[TaskId]
    ) -> frozenset[str]:
        """Which of these files other tasks than these have too."""
        params = {"hashes": json.dumps(sorted(hashes)), "ids": json.dumps(sorted(ids))}
        rows = await self._database.read(queries.KEPT_ELSEWHERE, params)
        return frozenset(str(row[0]) for row in rows)

    async def forget(self, ids: Collection[TaskId], before: datetime) -> int:
        """Delete those of the tasks that ended before a time; how many there were.

        Raises:
            StoreUnavailableError: nothing was deleted.
        """
        params = {"ids": json.dumps(sorted(ids)), "before": stored_time(before)}
        return await self._database.write(
            lambda connection: connection.execute(queries.FORGET_TASKS, params).rowcount
        )

    def _add(self, connection: sqlite3.Connection, new: _New, max_queued: int) -> Task:
        self._room.take(connection, max_queued)
        number = connection.execute(queries.ADD_TASK, new.values).lastrowid or 0
        connection.execute(queries.ADD_FIRST_EVENT, new.values)
        return new.task(number)


class _New:
    """An order that is about to become a task: all that can be known before its number."""

    __slots__ = ("_id", "_now", "_params", "values")

    def __init__(self, params: TaskParams, now: datetime) -> None:
        self._params = params
        self._id = _new_id(now)
        self._now = now
        self.values = added_values(params, self._id, now)

    def task(self, number: int) -> Task:
        """The task with its number."""
        return added_task(self._params, self._id, number, self._now)


def _new_id(now: datetime) -> TaskId:
    """A UUID of version 7: who knows the time still has 74 random bits to guess.

    New tasks then stand side by side in every index, so that a commit of many writes few pages; ids
    without order touch a page each. uuid.uuid7 is there from Python 3.14 on.

    Source: RFC 9562, section 5.7.
    """
    text = int(now.timestamp() * 1_000).to_bytes(6, "big").hex() + os.urandom(10).hex()
    variant = "89ab"[int(text[16], 16) % 4]
    return TaskId(f"{text[:8]}-{text[8:12]}-7{text[13:16]}-{variant}{text[17:20]}-{text[20:]}")


def _task(connection: sqlite3.Connection, task_id: str) -> Task:
    for row in connection.execute(queries.GET_TASK, (task_id,)):
        return task_from(row)
    raise TaskNotFoundError(task_id)


def _add_event(
    connection: sqlite3.Connection,
    task: Task,
    event: str,
    at: datetime,
    data: JSONObject | None = None,
) -> None:
    connection.execute(queries.ADD_EVENT, event_values(task, event, at, data))
