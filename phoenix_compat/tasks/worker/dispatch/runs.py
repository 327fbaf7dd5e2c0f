"""The runs of a worker: begins them, and sees to it that a bug in one ends that one alone."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial

import structlog

from phoenix_compat.tasks.model.errors import LeaseLostError
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.model.results.failure import failure
from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from phoenix_compat.tasks.worker.context import WorkerContext
from phoenix_compat.tasks.worker.executor import execute
from phoenix_compat.tasks.worker.run_state import TaskRun

MAX_EARLY_REPORTS = 1_024
"""Webhooks stored for tasks that have no run yet; beyond that the oldest is dropped."""
MAX_ABANDONED = 1_024
"""Tasks skipped because a bug kept them from being marked as failed; beyond that the oldest is
tried again."""

log = structlog.stdlib.get_logger(__name__)


class Runs:
    """The tasks that a worker runs now.

    Attributes:
        context: what they share.
        concurrency: how many there may be at once.
        abandoned: tasks that are skipped because of a bug.
        given_up: the leases of the tasks that ran when `stop` was called.
    """

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.concurrency = context.options.concurrency
        self.abandoned: OrderedDict[TaskId, None] = OrderedDict()
        self.given_up: dict[TaskId, int] = {}
        self._active: dict[TaskId, tuple[TaskRun, asyncio.Task[Task | None]]] = {}
        self._early_reports: OrderedDict[TaskId, PredictionSnapshot] = OrderedDict()

    def __len__(self) -> int:
        return len(self._active)

    def __contains__(self, task_id: TaskId) -> bool:
        return task_id in self._active

    @property
    def free_slots(self) -> int:
        """How many more may begin now."""
        return self.concurrency - len(self._active)

    @property
    def ids(self) -> frozenset[TaskId]:
        """The tasks that have a run."""
        return frozenset(self._active)

    @property
    def leases(self) -> dict[TaskId, int]:
        """The lease of each task that has a run."""
        return {task_id: run.lease for task_id, (run, _) in self._active.items()}

    def of(self, task_id: TaskId) -> TaskRun | None:
        """The run of a task; None if it has none."""
        active = self._active.get(task_id)
        return None if active is None else active[0]

    def end(self, task_id: TaskId) -> None:
        """Stop a run where it is, because the task is not this worker's any more."""
        run, execution = self._active[task_id]
        run.is_stopping = True
        execution.cancel()

    async def stop(self, patience_s: float) -> None:
        """Stop all; only creates that are on their way are finished first, if they can be."""
        self.given_up = self.leases
        executions = {execution for _, execution in self._active.values()}
        creating = {execution for run, execution in self._active.values() if run.is_creating}
        for run, _ in self._active.values():
            run.is_stopping = True
        for execution in executions - creating:
            execution.cancel()
        if creating:
            await asyncio.wait(creating, timeout=patience_s)
        for execution in creating:
            execution.cancel()
        await asyncio.gather(*executions, return_exceptions=True)

    def store_early_report(self, task_id: TaskId, snapshot: PredictionSnapshot) -> None:
        """Keep a webhook's snapshot until the task has a run."""
        self._early_reports[task_id] = snapshot
        if len(self._early_reports) > MAX_EARLY_REPORTS:
            self._early_reports.popitem(last=False)

    async def set_aside(self, task: Task) -> None:
        """End a task whose row cannot be read."""
        try:
            await self.context.recorder.set_aside(task)
        except Exception:  # whatever one row contains, it must not stop the other tasks
            self._abandon(task.id)
            log.exception("task.abandoned", task_id=task.id)

    async def begin(self, task: Task, run: TaskRun) -> None:
        """Begin a task; if that triggers a bug, only this task fails."""
        try:
            self._begin(task, run)
        except Exception:  # otherwise the dispatcher would crash on this task at every restart
            log.exception("task.crashed", task_id=task.id)
            await self._end_crashed(task)

    def _begin(self, task: Task, run: TaskRun) -> None:
        if (report := self._early_reports.pop(task.id, None)) is not None:
            run.report(report)
        execution = asyncio.create_task(self._execute(task, run), name=f"task-{task.id}")
        self._active[task.id] = (run, execution)
        execution.add_done_callback(partial(self._ended, task.id))

    async def _execute(self, task: Task, run: TaskRun) -> Task | None:
        """Run a task to its end; returns None after a bug, or if another node has it now."""
        try:
            return await execute(self.context, run, task)
        except LeaseLostError:
            self.context.counts["leases_lost"] += 1
            log.info("lease.lost", task_id=task.id)
            return None
        except Exception:  # a bug in one task ends that task, not the worker
            log.exception("task.crashed", task_id=task.id)
            await self._end_crashed(task)
            return None

    def _ended(self, task_id: TaskId, execution: asyncio.Task[Task | None]) -> None:
        run, _ = self._active.pop(task_id)
        self.context.release_create(run)
        self.context.wake()
        if execution.cancelled():
            return
        if (error := execution.exception()) is not None:
            self._abandon(task_id)
            log.error("task.abandoned", task_id=task_id, exc_info=error)
            return
        task = execution.result()
        if task is not None and task.status is TaskStatus.QUEUED:
            # A webhook that arrived too late for this run may name a prediction to adopt.
            for snapshot in run.reports.values():
                self.store_early_report(task_id, snapshot)

    async def _end_crashed(self, task: Task) -> None:
        """Fail a task after a bug; if that is not possible either, skip it until the next start."""
        try:
            current = await self.context.recorder.current(task)
            if not current.status.is_terminal:
                await self.context.recorder.fail(current, failure("internal_error"))
        except LeaseLostError:
            self.context.counts["leases_lost"] += 1
        except Exception:  # the dispatcher must go on, or every task would wait forever
            self._abandon(task.id)
            log.exception("task.abandoned", task_id=task.id)

    def _abandon(self, task_id: TaskId) -> None:
        self.context.counts["abandoned"] += 1
        self.abandoned[task_id] = None
        if len(self.abandoned) > MAX_ABANDONED:
            self.abandoned.popitem(last=False)
