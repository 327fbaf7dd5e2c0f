"""Reads tasks: one, a page, the queue, and those that can be deleted.

Methods that clients cause take the `owner` whose tasks they may see; None means everybody's. A task
of another owner is found as little as a missing one, by the same statements.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from phoenix_compat.tasks.model.clock import Clock, parse_time, stored_time
from phoenix_compat.tasks.model.task import TERMINAL, UNFINISHED, Task, TaskEvent, TaskStatus
from phoenix_compat.tasks.store.database import Database, Row
from phoenix_compat.tasks.store.rows import event_from, file_hashes, task_from
from phoenix_compat.tasks.store.statements import list_queries, queries, queue_queries
from phoenix_compat.tasks.store.statements.filtered_queries import (
    NO_FILTER,
    SEARCH_TASKS,
    TaskFilter,
)
from phoenix_compat.tasks.store.task_summaries import TaskSummaries
from phoenix_compat.tasks.store.unreadable_rows import UnreadableRowReporter

NEWEST: Final = 2**62
"""A number above that of every task: a list that starts here starts at the newest task."""

_MAX_ROWS_ON_LOOP: Final = 50
_MAX_BYTES_ON_LOOP: Final = 64 * 1024
_ALL_STATUSES: Final = frozenset(TaskStatus)


class PageOfTasks(NamedTuple):
    """A part of the list of tasks, newest first, without their inputs.

    Attributes:
        has_more: whether there may be older tasks.
        result_bytes: the stored bytes of all results, errors and files in it.
        searched_to: the number of the oldest task that a search has read, where the next page
            begins; None where that is the last task of this page.
    """

    tasks: Sequence[Task]
    has_more: bool
    result_bytes: int
    searched_to: int | None = None

    @property
    def is_large(self) -> bool:
        """Whether the event loop should not convert it itself."""
        return len(self.tasks) > _MAX_ROWS_ON_LOOP or self.result_bytes > _MAX_BYTES_ON_LOOP


class TaskReader(TaskSummaries):
    """The part of the store that reads.

    Attributes:
        served_owner: the owner whose task was started last; the next one in the queue is the
            next owner's.
    """

    def __init__(self, database: Database | None, clock: Clock) -> None:
        super().__init__(database, clock)
        self.served_owner = ""
        self._unreadable_rows = UnreadableRowReporter()
        self._ended_counts: dict[TaskStatus, int] = {}
        self._ended_counted_at_s = -math.inf

    async def get(
        self, task_id: str, *, owner: str | None = None, with_inputs: bool = True
    ) -> Task | None:
        """The task with this id; None when there is none.

        Args:
            with_inputs: False leaves `input_data` and `provider_input` empty and unread.
        """
        statement = queries.GET_TASK if with_inputs else queries.GET_SUMMARY
        rows = await self._database.read(statement.of(owner), {"id": task_id, "owner": owner})
        return self._read(rows[0]) if rows else None

    async def get_many(self, task_ids: Collection[str]) -> Sequence[Task]:
        """Those of these tasks that exist, without their inputs, in any order."""
        params = {"ids": json.dumps(list(task_ids))}
        rows = await self._database.read(queries.GET_SUMMARIES, params)
        return [self._read(row) for row in rows]

    async def node_of(self, task_id: str) -> str | None:
        """The id of the node that took a task last; None if there is none."""
        rows = await self._database.read(queries.NODE_OF, (task_id,))
        return None if not rows or rows[0][0] is None else str(rows[0][0])

    async def by_prediction(self, prediction_id: str) -> Task | None:
        """The task that has this prediction now; None when no task has it (any more)."""
        rows = await self._database.read(queries.GET_BY_PREDICTION, (prediction_id,))
        return self._read(rows[0]) if rows else None

    async def unclaimed_predictions(self, ids: Collection[str]) -> frozenset[str]:
        """Which of these predictions no task has or had."""
        rows = await self._database.read(
            queries.UNCLAIMED_PREDICTIONS, {"ids": json.dumps(sorted(ids))}
        )
        return frozenset(str(row[0]) for row in rows)

    async def queue_position(self, task_id: str, *, owner: str | None = None) -> int | None:
        """A queued task's position, 1 for the next one to run; None when it is not queued.

        The tasks of other owners count as the turns of the queue put them before this one. Tasks
        that are added later may still do so.
        """
        params = {"id": task_id, "owner": owner, "served": self.served_owner}
        ((position,),) = await self._database.read(queue_queries.QUEUE_POSITION.of(owner), params)
        return position or None

    async def list(
        self,
        *,
        statuses: Collection[TaskStatus] = _ALL_STATUSES,
        limit: int = 50,
        before: int = NEWEST,
        owner: str | None = None,
    ) -> list[Task]:
        """Tasks with everything they have, newest first; for an answer to a client see `page`.

        Args:
            before: only tasks with smaller numbers: the last number of the previous page.
        """
        is_any = frozenset(statuses) == _ALL_STATUSES
        statement = list_queries.LIST_TASKS if is_any else list_queries.LIST_TASKS_WITH_STATUS
        params = _list_params(statuses, limit, before, owner, max_bytes=NEWEST)
        return [self._read(row) for row in await self._database.read(statement.of(owner), params)]

    async def page(  # noqa: PLR0913 - the parts of a query
        self,
        *,
        max_bytes: int,
        statuses: Collection[TaskStatus] = _ALL_STATUSES,
        limit: int = 50,
        before: int = NEWEST,
        owner: str | None = None,
        only: TaskFilter = NO_FILTER,
    ) -> PageOfTasks:
        """A page of tasks without their inputs, newest first.

        Args:
            max_bytes: the page ends with the task with which results, errors and files reach it.
            before: as for `list`.
            only: which tasks; with a filter a page may have fewer tasks than `limit`, or none,
                and still not be the last.
        """
        is_any = frozenset(statuses) == _ALL_STATUSES
        params = _list_params(statuses, limit, before, owner, max_bytes=max_bytes)
        if only == NO_FILTER:
            statement = list_queries.PAGE_OF_TASKS if is_any else list_queries.PAGE_WITH_STATUS
            rows = await self._database.read(statement.of(owner), params)
            return await self._page(rows, limit, max_bytes)
        params |= {**only.params, "statuses": None if is_any else params["statuses"]}
        rows = await self._database.read(SEARCH_TASKS.of(owner), params)
        searched, last = rows[0]["searched"], rows[0]["last"]
        page = await self._page(
            [row for row in rows if row["number"] is not None], limit, max_bytes
        )
        if page.has_more or searched < int(str(params["max_searched"])):
            return page
        return page._replace(has_more=True, searched_to=last)

    async def _page(self, rows: Sequence[Row], limit: int, max_bytes: int) -> PageOfTasks:
        result_bytes = int(rows[-1]["bytes_so_far"]) if rows else 0
        has_more = len(rows) >= limit or result_bytes >= max_bytes
        page = PageOfTasks((), has_more, result_bytes)
        if len(rows) > _MAX_ROWS_ON_LOOP or page.is_large:
            tasks = await asyncio.to_thread(lambda: [task_from(row) for row in rows])
        else:
            tasks = [task_from(row) for row in rows]
        for task in tasks:
            self._unreadable_rows.report(task)
        return page._replace(tasks=tasks)

    async def events(
        self, task_id: str, *, after: int = 0, limit: int = 100, owner: str | None = None
    ) -> Sequence[TaskEvent]:
        """A task's history, oldest first; empty if the task does not exist."""
        params = {"id": task_id, "after": after, "limit": limit, "owner": owner}
        rows = await self._database.read(queries.LIST_EVENTS.of(owner), params)
        events = [event_from(row) for row in rows]
        self._unreadable_rows.report_events(events)
        return events

    async def due(self, limit: int) -> Sequence[Task]:
        """The queued tasks that may start now, in the order in which they should.

        The owners take turns, beginning after `served_owner`; each owner's oldest task is first.
        """
        params = {**self._ready(), "limit": limit, "served": self.served_owner}
        rows = await self._database.read(queue_queries.DUE_TASKS, params)
        return [self._read(row) for row in rows]

    async def longest_waiting(self, limit: int) -> Sequence[Task]:
        """The oldest queued tasks that may start now, whoever owns them."""
        params = {**self._ready(), "limit": limit}
        rows = await self._database.read(queue_queries.LONGEST_WAITING, params)
        return [self._read(row) for row in rows]

    async def next_due(self) -> datetime | None:
        """The time when the next waiting task may start; None when no task has to wait."""
        ((text,),) = await self._database.read(queue_queries.NEXT_DUE, self._ready())
        return None if text is None else parse_time(text)

    async def unfinished(self) -> Sequence[Task]:
        """Tasks that are submitting or running, oldest first; for the start of a server.

        Tasks in an unknown state are among them, as failed.
        """
        return [self._read(row) for row in await self._database.read(queries.UNFINISHED_TASKS)]

    async def status_counts(self, *, ended_max_age_s: float = 60.0) -> Mapping[TaskStatus, int]:
        """How many tasks there are in each state.

        Args:
            ended_max_age_s: the numbers of completed and failed tasks may be as old as this,
                because to count them takes longer the more there are.
        """
        now_s = self._clock.monotonic()
        if now_s >= self._ended_counted_at_s + ended_max_age_s:
            self._ended_counts = await self._count(TERMINAL)
            self._ended_counted_at_s = now_s
        return {**await self._count(UNFINISHED), **self._ended_counts}

    async def _count(self, statuses: Collection[TaskStatus]) -> dict[TaskStatus, int]:
        params = {"statuses": json.dumps(sorted(statuses))}
        rows = await self._database.read(queries.COUNT_BY_STATUS, params)
        counts = {str(status): int(count) for status, count in rows}
        return {status: counts.get(status.value, 0) for status in statuses}

    async def ended_before(self, at: datetime, limit: int) -> dict[int, frozenset[str]]:
        """The oldest tasks that ended before a time: number -> sha256 of its stored files."""
        rows = await self._database.read(queries.ENDED_BEFORE, {**self._ended(at), "limit": limit})
        return {int(row["number"]): file_hashes(row["files"]) for row in rows}

    async def shared_hashes(
        self, hashes: Collection[str], numbers: Collection[int]
    ) -> frozenset[str]:
        """Which of these files are also outputs of tasks other than these, or files of clients."""
        params = {"hashes": json.dumps(sorted(hashes))}
        sent = await self._database.read(queries.UPLOADED_HASHES, params)
        return await self.output_hashes(hashes, numbers) | {str(row[0]) for row in sent}

    async def output_hashes(
        self, hashes: Collection[str], except_numbers: Collection[int] = ()
    ) -> frozenset[str]:
        """Which of these files are outputs of tasks, except of the tasks with these numbers."""
        numbers = json.dumps(sorted(except_numbers))
        params = {"hashes": json.dumps(sorted(hashes)), "numbers": numbers}
        rows = await self._database.read(queries.SHARED_HASHES, params)
        return frozenset(str(row[0]) for row in rows)

    def _ready(self) -> dict[str, object]:
        now = self._clock.now()
        return {"now": stored_time(now), "tomorrow": tomorrow(now)}

    def _ended(self, before: datetime) -> dict[str, object]:
        return {"before": stored_time(before), "tomorrow": tomorrow(self._clock.now())}

    def _read(self, row: Row) -> Task:
        task = task_from(row)
        self._unreadable_rows.report(task)
        return task


def tomorrow(now: datetime) -> str:
    """An upper bound of stored times: later ones come from a wrong clock or a broken row."""
    return stored_time(now + timedelta(days=1))


def _list_params(
    statuses: Collection[TaskStatus],
    limit: int,
    before: int,
    owner: str | None,
    *,
    max_bytes: int,
) -> dict[str, object]:
    """The parameters of the statements in `list_queries`."""
    return {
        "statuses": json.dumps(sorted(statuses)),
        "limit": limit,
        "before": before,
        "owner": owner,
        "max_bytes": max_bytes,
    }
