"""Takes the tasks of a store that one process has to itself."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.errors import LeaseLostError
from phoenix_compat.tasks.model.results.failure import failure
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.dispatch.claims import MIN_WAIT_S
from phoenix_compat.tasks.worker.dispatch.runs import Runs
from phoenix_compat.tasks.worker.run_state import TaskRun


class OwnClaims:
    """All tasks of the store are this worker's. See Claims.

    Attributes:
        unfinished: tasks that an earlier process began and that have no run here yet.
    """

    background: tuple[BackgroundTask, ...] = ()

    def __init__(self, store: TaskStore, runs: Runs) -> None:
        self.unfinished: deque[Task] = deque()
        self._store = store
        self._runs = runs

    async def start(self) -> None:
        """Read what an earlier process left unfinished."""
        unfinished = await self._store.unfinished()
        self.unfinished.extend(unfinished)
        if unfinished:
            # The turns of the owners go on where the earlier process stopped.
            latest = max(unfinished, key=lambda task: task.submitted_at or task.created_at)
            self._store.served_owner = latest.owner

    async def recover(self) -> None:
        """Resume the unfinished tasks that have no run."""
        unfinished = await self._store.unfinished()
        known = self._runs.ids | self._runs.abandoned.keys()
        self.unfinished.clear()
        self.unfinished.extend(task for task in unfinished if task.id not in known)

    async def stop(self) -> None:
        """All unfinished tasks continue at the next start."""
        self.unfinished.clear()

    async def start_due(self) -> float | None:
        """Resume unfinished tasks, then start those that are due. See Claims."""
        while self.unfinished and self._runs.free_slots > 0:
            task = self.unfinished[0]
            if task.is_set_aside:
                await self._runs.set_aside(task)
            else:
                await self._runs.begin(task, TaskRun(is_resumed=True))
            self.unfinished.popleft()
        await fail_overdue_tasks(self._store, self._runs)
        context = self._runs.context
        limiter = context.create_limiter
        for task in await self._due() if self._runs.free_slots > 0 else ():
            active = self._runs.of(task.id)
            if active is not None and active.ticket is None:
                return None  # its run is just putting it back, and no other task may overtake it
            if active is not None:
                continue
            if self._runs.free_slots <= 0:
                break
            if (wait_s := limiter.wait_s()) > 0:
                return None if wait_s == math.inf else max(wait_s, MIN_WAIT_S)
            await self._runs.begin(task, TaskRun(is_resumed=False, ticket=limiter.enter()))
            self._store.served_owner = task.owner
        if self._runs.free_slots <= 0:
            return None
        next_due = await self._store.next_due()
        if next_due is None:
            return None
        return max((next_due - context.clock.now()).total_seconds(), MIN_WAIT_S)

    async def _due(self) -> Sequence[Task]:
        """The tasks that may start now, in the order of the queue.

        While the circuit is open, tasks that have not sent a probe yet come first.
        """
        context = self._runs.context
        failed_probes = context.failed_probes
        if context.create_limiter.breaker.reason is None:
            failed_probes.clear()
        due = await readable(
            self._store.due, self._runs.concurrency + len(failed_probes), self._runs
        )
        if not failed_probes:
            return due
        position = {task_id: number for number, task_id in enumerate(failed_probes, start=1)}
        return sorted(due, key=lambda task: position.get(task.id, 0))


async def readable(
    read: Callable[[int], Awaitable[Sequence[Task]]], limit: int, runs: Runs
) -> Sequence[Task]:
    """Queued tasks that may start now; those whose rows cannot be read are set aside first."""
    while True:
        due = await read(limit + len(runs.abandoned))
        candidates = [task for task in due if task.id not in runs.abandoned]
        unreadable = [task for task in candidates if task.is_set_aside]
        for task in unreadable:
            await runs.set_aside(task)
        if not unreadable:
            return candidates


async def fail_overdue_tasks(store: TaskStore, runs: Runs) -> None:
    """Fail the tasks that have waited too long for the circuit to close."""
    context = runs.context
    breaker, patience_s = context.create_limiter.breaker, context.options.breaker.patience_s
    while breaker.reason is not None and breaker.open_s >= patience_s:
        since = context.clock.now() - timedelta(seconds=patience_s)
        due = await readable(store.longest_waiting, runs.concurrency * 2, runs)
        overdue = [one for one in due if one.created_at <= since and one.id not in runs]
        for task in overdue:
            with contextlib.suppress(LeaseLostError):
                await context.recorder.fail(task, failure(breaker.reason))
        if not overdue:
            return
