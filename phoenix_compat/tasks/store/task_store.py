"""Stores tasks: adds them, and moves them from state to state. `task_reader` reads them.

A change and its event are written in one transaction. When two callers move the same task, the
first one wins and the other gets None. Running tasks and announcing changes is the worker's job.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Unpack

from phoenix_compat.tasks.model.clock import Clock, stored_time
from phoenix_compat.tasks.model.errors import (
    InvalidInputError,
    KeyReusedError,
    NotFailedError,
    PredictionTakenError,
    TaskNotFoundError,
    UniqueError,
    UnreadableTaskError,
)
from phoenix_compat.tasks.model.task import Task, TaskChanges, TaskStatus
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.store.columns import CANCEL_REQUESTED
from phoenix_compat.tasks.store.database import Database, Row, Transaction
from phoenix_compat.tasks.store.new_task import IdempotencyKey, NewTask, checked_owner
from phoenix_compat.tasks.store.outbox.outbox import Outbox
from phoenix_compat.tasks.store.queue_limit import QueueLimit
from phoenix_compat.tasks.store.rows import (
    event_values,
    moved_task,
    moved_values,
    prediction_values,
    set_aside_values,
)
from phoenix_compat.tasks.store.spending import Spending
from phoenix_compat.tasks.store.statements import queries, upload_queries
from phoenix_compat.tasks.store.statements.filtered_queries import TaskFilter
from phoenix_compat.tasks.store.task_reader import NEWEST, PageOfTasks, TaskReader, tomorrow
from phoenix_compat.tasks.store.upload_store import use_upload

__all__ = [
    "KEY_RETENTION",
    "MAX_QUEUED",
    "NEWEST",
    "IdempotencyKey",
    "PageOfTasks",
    "TaskFilter",
    "TaskStore",
]

MAX_QUEUED = 10_000
KEY_RETENTION = timedelta(hours=24)
"""How long an Idempotency-Key is remembered."""
ADOPTED_AT_ONCE = 1_000
"""How many tasks `adopt` changes in one transaction."""


class TaskStore(TaskReader):
    """All tasks of this server, in a database.

    Args:
        database: None while another process has the database open; see `reopen`.

    Attributes:
        budget: counts and limits what is ordered.
        outbox: keeps events for webhooks; None if there are none.
    """

    def __init__(self, database: Database | None, clock: Clock) -> None:
        super().__init__(database, clock)
        self._queue_limit = QueueLimit()
        self.budget = Spending()
        self.outbox: Outbox | None = None

    async def add(
        self,
        params: TaskParams,
        *,
        owner: str = "",
        traceparent: str | None = None,
        max_queued: int = MAX_QUEUED,
    ) -> Task:
        """Put a new task at the end of its owner's queue; it is durable when this returns.

        Args:
            traceparent: see `trace_context`.

        Raises:
            BudgetError: it would pass a cap.
            InvalidInputError: the owner has several lines or is too long, or has not uploaded a
                file that the task uses.
            QueueFullError: the queue is full; see QueueLimit.
            StoreUnavailableError: nothing was written.
        """
        new = NewTask(params, self._clock.now(), owner, traceparent)
        return await self._database.write(
            lambda transaction: self._add(transaction, new, max_queued)
        )

    async def add_once(
        self,
        params: TaskParams,
        idempotency_key: IdempotencyKey,
        *,
        owner: str = "",
        traceparent: str | None = None,
        max_queued: int = MAX_QUEUED,
    ) -> tuple[Task, bool]:
        """Put a new task at the end of its owner's queue, unless the key already has a task.

        Key and task are written in one transaction, so concurrent requests with the same key add
        one task. Each owner has keys of its own. A key is forgotten after `KEY_RETENTION`.

        Returns:
            The key's current task, and whether it existed before.

        Raises:
            InvalidInputError: the owner has several lines, or is too long.
            KeyReusedError: the key was used before, with a different body.
            BudgetError: it would pass a cap.
            QueueFullError: the queue is full; see QueueLimit.
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()
        new = NewTask(params, now, owner, traceparent)
        key = {"owner": owner, "key": idempotency_key.key}

        async def work(transaction: Transaction) -> tuple[Task, bool]:
            old = {"before": stored_time(now - KEY_RETENTION), "tomorrow": tomorrow(now)}
            await transaction.execute(queries.DELETE_OLD_KEYS, old)
            for row in await transaction.rows(queries.GET_KEY, key):
                if row["body_fingerprint"] != idempotency_key.body_fingerprint:
                    raise KeyReusedError(idempotency_key.key)
                task_of_key = {"id": row["task_id"], "owner": owner}
                for found in await transaction.rows(queries.GET_TASK.own, task_of_key):
                    return self._read(found), True
                await transaction.execute(queries.DELETE_KEY, key)
            task = await self._add(transaction, new, max_queued)
            values = {
                **key,
                "body_fingerprint": idempotency_key.body_fingerprint,
                "task_id": task.id,
                "now": stored_time(now),
            }
            await transaction.execute(queries.ADD_KEY, values)
            return task, False

        try:
            return await self._database.write(work)
        except UniqueError:  # another node has added the key meanwhile
            return await self._database.write(work)

    async def retry(
        self,
        task_id: str,
        params: TaskParams,
        *,
        owner: str | None = None,
        traceparent: str | None = None,
        max_queued: int = MAX_QUEUED,
    ) -> Task:
        """Queue a failed task again, in a new cycle without anything of the last one.

        Args:
            owner: None for a task of anybody.
            params: from the task's input, since the last cycle may have used a fallback model.
            traceparent: that of the retry; None keeps that of the task.

        Raises:
            TaskNotFoundError: the owner has no task with this id.
            NotFailedError: it is processing or completed.
            UnreadableTaskError: its row cannot be read.
            BudgetError: it would pass a cap.
            QueueFullError: the queue is full; see QueueLimit.
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()

        async def work(transaction: Transaction) -> Task:
            task = await self._task(transaction, task_id, owner)
            if task.unreadable:
                raise UnreadableTaskError(task.id, task.unreadable)
            if task.status is not TaskStatus.FAILED:
                raise NotFailedError(task.id, task.status.wire)
            await self._queue_limit.reserve(transaction, max_queued, task.owner)
            retried = task.moved(
                TaskStatus.QUEUED,
                now,
                provider_input=params.provider_input,
                fingerprint=params.fingerprint,
                estimated_cost_usd=params.estimated_cost_usd,
                traceparent=traceparent or task.traceparent,
            )
            await self.budget.reserve_again(transaction, retried, now, tasks=1)
            stored = await transaction.rows(queries.MOVE_TASK, moved_values(retried, task))
            if not stored:
                raise NotFailedError(task.id, TaskStatus.QUEUED.wire)  # another node was first
            await self._add_event(transaction, retried, TaskStatus.QUEUED, now)
            return await self._moved(transaction, retried, stored[0])

        return await self._database.write(work)

    async def move(self, task: Task, to: TaskStatus, **changes: Unpack[TaskChanges]) -> Task | None:
        """Move a task from its state to another, with an event, in one transaction.

        Returns:
            The task after the move, or None: someone else has moved it first.

        Raises:
            IllegalMoveError: `LEGAL_MOVES` does not have this move.
            PredictionTakenError: `prediction_id` belongs to another task.
            BudgetError: it needs one more create, which would pass a cap.
            StoreUnavailableError: nothing was written.
        """
        moved = task.moved(to, self._clock.now(), **changes)
        values = moved_values(moved, task)

        async def work(transaction: Transaction) -> Task | None:
            try:
                stored = await transaction.rows(queries.MOVE_TASK, values)
                if not stored:
                    return None
                if to is TaskStatus.QUEUED:
                    await self._queue_limit.reserve(transaction)
                await self.budget.follow(transaction, task, moved, moved.updated_at)
                if moved.prediction_id is not None and moved.prediction_id != task.prediction_id:
                    await transaction.execute(queries.ADD_PREDICTION, prediction_values(moved))
            except UniqueError as error:
                raise PredictionTakenError(moved.prediction_id or "") from error
            data = moved.result_data if to is TaskStatus.COMPLETED else moved.error_data
            await self._add_event(transaction, moved, to, moved.updated_at, data)
            return await self._moved(transaction, moved, stored[0])

        return await self._database.write(work)

    async def record_progress(self, task: Task, progress: float) -> Task | None:
        """Raise a running task's progress.

        Returns:
            The task, or None: it is not running or not below that, or another node has it.
        """
        now = stored_time(self._clock.now())
        values = {"id": task.id, "lease": task.lease, "progress": progress, "now": now}

        async def work(transaction: Transaction) -> Task | None:
            for row in await transaction.rows(queries.RECORD_PROGRESS, values):
                return self._read(row)
            return None

        return await self._database.write(work)

    async def request_cancel(self, task_id: str, *, owner: str | None = None) -> Task:
        """Record that a client wants to cancel a task; a finished task is not changed.

        A repeated request changes nothing. The worker carries out the cancel.

        Args:
            owner: None for a task of anybody.

        Raises:
            TaskNotFoundError: the owner has no task with this id.
        """
        now = self._clock.now()

        async def work(transaction: Transaction) -> Task:
            values = {"id": task_id, "owner": owner}
            changed = await transaction.execute(queries.REQUEST_CANCEL.of(owner), values)
            task = await self._task(transaction, task_id, owner)
            if changed == 1 and not task.is_set_aside:
                await self._add_event(transaction, task, CANCEL_REQUESTED, now)
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

        async def work(transaction: Transaction) -> Task | None:
            if await transaction.execute(queries.SET_ASIDE, values) != 1:
                return None
            await transaction.execute(queries.ADD_SET_ASIDE_EVENT, values)
            for row in await transaction.rows(queries.GET_NUMBER, (task.number,)):
                failed = self._read(row)
                if self.outbox is not None:
                    at = failed.updated_at
                    await self.outbox.add(transaction, failed, TaskStatus.FAILED, at)
                return failed
            return None

        return await self._database.write(work)

    async def adopt(self, owner: str) -> int:
        """Give all tasks of nobody in particular, with their keys and files, to an owner.

        They are given in parts, so that other writes need not wait long. If it is interrupted, a
        repeated call gives the rest. Where the owner has used a key too, its own task keeps it.

        Returns:
            How many tasks were given.

        Raises:
            InvalidInputError: the owner is empty, has several lines, or is too long.
            StoreUnavailableError: the rest was not given.
        """
        if not checked_owner(owner):
            raise InvalidInputError("owner", "must not be empty")
        params = {"owner": owner, "limit": ADOPTED_AT_ONCE}

        async def give(transaction: Transaction) -> int:
            await transaction.execute(queries.ADOPT_KEYS, params)
            await transaction.execute(upload_queries.ADOPT_UPLOADS, params)
            return await transaction.execute(queries.ADOPT_TASKS, params)

        adopted = 0
        while True:
            given = await self._database.write(give)
            adopted += given
            if given < ADOPTED_AT_ONCE:
                return adopted

    async def delete_ended(self, numbers: Collection[int], before: datetime) -> int:
        """Delete those of these tasks that ended before a time.

        Returns:
            How many were deleted.

        Raises:
            StoreUnavailableError: nothing was deleted.
        """
        params = {"numbers": json.dumps(sorted(numbers)), **self._ended(before)}
        return await self._database.write(
            lambda transaction: transaction.execute(queries.DELETE_TASKS, params)
        )

    async def _task(self, transaction: Transaction, task_id: str, owner: str | None = None) -> Task:
        values = {"id": task_id, "owner": owner}
        for row in await transaction.rows(queries.GET_TASK.of(owner), values):
            return self._read(row)
        raise TaskNotFoundError(task_id)

    async def _moved(self, transaction: Transaction, moved: Task, stored: Row) -> Task:
        """A task after a move, without reading its long columns again."""
        if moved.unreadable:
            return await self._task(transaction, moved.id)
        return moved_task(moved, stored)

    async def _add(self, transaction: Transaction, new: NewTask, max_queued: int) -> Task:
        await self.budget.reserve(transaction, new.owner, new.cost_usd, new.created_at)
        await self._queue_limit.reserve(transaction, max_queued, new.owner)
        number = await transaction.insert(queries.ADD_TASK, new.values)
        if self.outbox is None:
            await transaction.later(queries.ADD_FIRST_EVENT, new.values)
        else:
            await transaction.execute(queries.ADD_FIRST_EVENT, new.values)
        for upload in new.uploads:
            await use_upload(transaction, new.values, upload)
        task = new.task(number)
        if self.outbox is not None:
            await self.outbox.add(transaction, task, task.status, new.created_at)
        return task

    async def _add_event(
        self,
        transaction: Transaction,
        task: Task,
        event: str,
        at: datetime,
        data: dict[str, Any] | None = None,
    ) -> None:
        values = event_values(task, event, at, data)
        if self.outbox is None:
            await transaction.later(queries.ADD_EVENT, values)
            return
        await transaction.execute(queries.ADD_EVENT, values)
        await self.outbox.add(transaction, task, event, at)
