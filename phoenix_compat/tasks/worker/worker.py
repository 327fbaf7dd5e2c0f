"""The worker: takes queued tasks, a limited number at once, and runs each to its end.

The owners of the queued tasks take turns, and each owner's tasks are taken in order.

It sleeps until a task arrives, a slot is free or a wait is over. A bug in one task, or a row that
cannot be read, ends that task and no other. Tasks that are unfinished when the worker stops
continue at the next start. `executor` has the steps of one task.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.model.results.failure import failure
from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES, InputPolicy, TaskType
from phoenix_compat.tasks.observability.task_log import log_queued
from phoenix_compat.tasks.observability.task_measures import TaskMeasures
from phoenix_compat.tasks.observability.tracing import NoTracer, TaskTracer
from phoenix_compat.tasks.provider.provider import Provider
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.streams.output_sink import NoSink, OutputSink
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT
from phoenix_compat.tasks.worker.context import Archive, make_context
from phoenix_compat.tasks.worker.create_limiter import ProviderState
from phoenix_compat.tasks.worker.executor import execute
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.recorder import Announce
from phoenix_compat.tasks.worker.run_state import TaskRun

MAX_EARLY_REPORTS = 1_024
"""Webhooks stored for tasks that have no run yet; beyond that the oldest is dropped."""
MAX_ABANDONED = 1_024
"""Tasks skipped because a bug kept them from being marked as failed; beyond that the oldest is
tried again."""
MIN_WAIT_S = 0.01
"""Stored times are rounded; without a minimum the dispatcher could loop without waiting."""

log = structlog.stdlib.get_logger(__name__)


class Worker:
    """Runs every task of a store at a provider. One per store."""

    def __init__(  # noqa: PLR0913 - its collaborators, some of which only tests replace
        self,
        store: TaskStore,
        provider: Provider,
        announce: Announce,
        *,
        options: WorkerOptions | None = None,
        task_types: Mapping[str, TaskType] = TASK_TYPES,
        clock: Clock | None = None,
        archive: Archive | None = None,
        outputs: OutputSink | None = None,
        policy: InputPolicy | None = None,
        tracer: TaskTracer | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Make a worker that does nothing until `start`.

        Args:
            announce: called with the task after each committed change, on the event loop.
            task_types: the known task types by name.
            archive: stores copies of the output files; the caller opens and closes it.
            outputs: shows outputs that are not complete yet.
            policy: what the operator allows; it applies to fallback models.
            tracer: see the attribute.
            jitter: returns random numbers from 0.0 to 1.0.

        Attributes:
            dispatcher: the background task that begins the runs.
            tracer: listens to the steps of tasks.
        """
        self._clock = clock or SystemClock()
        self._options = options or WorkerOptions()
        self._store = store
        self._runs: dict[TaskId, tuple[TaskRun, asyncio.Task[Task | None]]] = {}
        self._unfinished: deque[Task] = deque()
        self._early_reports: OrderedDict[TaskId, PredictionSnapshot] = OrderedDict()
        self._wake = asyncio.Event()
        self._abandoned: OrderedDict[TaskId, None] = OrderedDict()
        self._has_crashed = False
        self.dispatcher = BackgroundTask("dispatcher", self._dispatch)
        self.tracer: TaskTracer = tracer or NoTracer()
        self._context = make_context(
            store,
            provider,
            announce,
            options=self._options,
            clock=self._clock,
            task_types=task_types,
            archive=archive,
            outputs=outputs or NoSink(),
            policy=policy,
            tracer=self.tracer,
            jitter=jitter,
            wake=self._wake.set,
        )

    @property
    def measures(self) -> TaskMeasures:
        """What is counted for metrics."""
        return self._context.measures

    @property
    def running(self) -> int:
        """How many tasks have a run."""
        return len(self._runs)

    @property
    def provider_state(self) -> ProviderState:
        """The provider as operators see it: the circuit and the rate of creates."""
        return self._context.create_limiter.state

    def account_refused(self) -> None:
        """Hold creates back: the provider refuses the account, which was found without a create."""
        self._context.create_limiter.failed(ACCOUNT)

    @property
    def counts(self) -> Mapping[str, int]:
        """What has happened since this worker was made; see `WorkerContext.counts`."""
        return self._context.counts

    async def start(self) -> None:
        """Continue what an earlier process left unfinished, then run the queued tasks.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        self._has_crashed = False
        unfinished = await self._store.unfinished()
        self._unfinished.extend(unfinished)
        if unfinished:
            # The turns of the owners go on where the earlier process stopped.
            latest = max(unfinished, key=lambda task: task.submitted_at or task.created_at)
            self._store.served_owner = latest.owner
        self.dispatcher.start()

    async def stop(self) -> None:
        """Stop; only creates that are on their way are finished first.

        They get `stop_patience_s`. All unfinished tasks continue at the next start.
        """
        await self.dispatcher.stop()
        executions = {execution for _, execution in self._runs.values()}
        creating = {execution for run, execution in self._runs.values() if run.is_creating}
        for run, _ in self._runs.values():
            run.is_stopping = True
        for execution in executions - creating:
            execution.cancel()
        if creating:
            await asyncio.wait(creating, timeout=self._options.stop_patience_s)
        for execution in creating:
            execution.cancel()
        await asyncio.gather(*executions, return_exceptions=True)
        self._unfinished.clear()

    def set_concurrency(self, concurrency: int) -> None:
        """Run this many tasks at once from now on; runs that have begun go on."""
        self._options = dataclasses.replace(self._options, concurrency=concurrency)
        self._wake.set()

    def wake(self) -> None:
        """Tell the dispatcher that a task was added; a call without a new task does no harm."""
        self._wake.set()

    def note_queued(self, task: Task) -> None:
        """Count and log a task that was added or retried, and tell the dispatcher."""
        self.measures.queued += 1
        log_queued(task)
        self._wake.set()

    async def cancel(self, task_id: str, *, owner: str | None = None) -> Task:
        """Request that a task be canceled; a queued one ends at once.

        If the result arrives before the cancel, it is kept: it is already paid for.

        Args:
            owner: None for a task of anybody.

        Raises:
            TaskNotFoundError: the owner has no task with this id.
            StoreUnavailableError: the request was not stored.
        """
        task = await self._store.request_cancel(task_id, owner=owner)
        if task.is_set_aside:
            task = await self._context.recorder.set_aside(task)
        if task.status is TaskStatus.QUEUED:
            task = await self._context.recorder.fail(task, failure("canceled"))
        if task.id in self._runs:
            self._runs[task.id][0].wake.set()
        return task

    async def notice(self, task_id: str, snapshot: PredictionSnapshot | None) -> bool:
        """Pass a webhook's snapshot of a prediction to the task's run, which applies it.

        Args:
            snapshot: None if the webhook only asks for a poll.

        Returns:
            Whether the task exists.

        Raises:
            StoreUnavailableError: the task cannot be looked up.
        """
        key = TaskId(task_id)
        if key in self._runs:
            self._runs[key][0].report(snapshot)
            return True
        task = await self._store.get(task_id)
        if task is not None and snapshot is not None and not task.status.is_terminal:
            self._store_early_report(key, snapshot)
        return task is not None

    def _store_early_report(self, task_id: TaskId, snapshot: PredictionSnapshot) -> None:
        self._early_reports[task_id] = snapshot
        if len(self._early_reports) > MAX_EARLY_REPORTS:
            self._early_reports.popitem(last=False)

    async def _dispatch(self) -> None:
        try:
            while True:
                self._wake.clear()
                try:
                    wait_s = await self._start_due_tasks()
                except StoreUnavailableError as error:
                    log.warning("store.unavailable", reason=str(error))
                    wait_s = self._options.retry_first_s
                await self._clock.wait(self._wake, wait_s)
        except BaseException:
            self._has_crashed = True
            raise

    async def _recover_from_crash(self) -> None:
        """After a crash of the dispatcher, resume the unfinished tasks that have no run."""
        unfinished = await self._store.unfinished()
        known = self._runs.keys() | self._abandoned.keys()
        self._unfinished.clear()
        self._unfinished.extend(task for task in unfinished if task.id not in known)
        self._has_crashed = False

    async def _start_due_tasks(self) -> float | None:
        """Start tasks in the free slots; returns the seconds to wait, None for "until woken"."""
        if self._has_crashed:
            await self._recover_from_crash()
        while self._unfinished and self._free_slots > 0:
            task = self._unfinished[0]
            if task.is_set_aside:
                await self._set_aside(task)
            else:
                await self._begin_or_abandon(task, is_resumed=True)
            self._unfinished.popleft()
        await self._fail_overdue_tasks()
        for task in await self._due() if self._free_slots > 0 else ():
            active = self._runs.get(task.id)
            if active is not None and active[0].ticket is None:
                return None  # its run is just putting it back, and no other task may overtake it
            if active is not None:
                continue
            if self._free_slots <= 0:
                break
            if (wait_s := self._context.create_limiter.wait_s()) > 0:
                return None if wait_s == math.inf else max(wait_s, MIN_WAIT_S)
            await self._begin_or_abandon(task, is_resumed=False)
            self._store.served_owner = task.owner
        if self._free_slots <= 0:
            return None
        next_due = await self._store.next_due()
        if next_due is None:
            return None
        return max((next_due - self._clock.now()).total_seconds(), MIN_WAIT_S)

    async def _due(self) -> Sequence[Task]:
        """The tasks that may start now, in the order of the queue.

        While the circuit is open, tasks that have not sent a probe yet come first.
        """
        failed_probes = self._context.failed_probes
        if self._context.create_limiter.breaker.reason is None:
            failed_probes.clear()
        limit = self._options.concurrency + len(failed_probes)
        due = await self._readable(self._store.due, limit)
        if not failed_probes:
            return due
        position = {task_id: number for number, task_id in enumerate(failed_probes, start=1)}
        return sorted(due, key=lambda task: position.get(task.id, 0))

    async def _readable(
        self, read: Callable[[int], Awaitable[Sequence[Task]]], limit: int
    ) -> Sequence[Task]:
        """Queued tasks that may start now; those whose rows cannot be read are set aside first."""
        while True:
            due = await read(limit + len(self._abandoned))
            candidates = [task for task in due if task.id not in self._abandoned]
            unreadable = [task for task in candidates if task.is_set_aside]
            for task in unreadable:
                await self._set_aside(task)
            if not unreadable:
                return candidates

    async def _set_aside(self, task: Task) -> None:
        try:
            await self._context.recorder.set_aside(task)
        except Exception:  # whatever one row contains, it must not stop the other tasks
            self._abandon(task.id)
            log.exception("task.abandoned", task_id=task.id)

    async def _fail_overdue_tasks(self) -> None:
        breaker, patience_s = self._context.create_limiter.breaker, self._options.breaker.patience_s
        while breaker.reason is not None and breaker.open_s >= patience_s:
            since = self._clock.now() - timedelta(seconds=patience_s)
            due = await self._readable(self._store.longest_waiting, self._options.concurrency * 2)
            overdue = [one for one in due if one.created_at <= since and one.id not in self._runs]
            for task in overdue:
                await self._context.recorder.fail(task, failure(breaker.reason))
            if not overdue:
                return

    @property
    def _free_slots(self) -> int:
        return self._options.concurrency - len(self._runs)

    async def _begin_or_abandon(self, task: Task, *, is_resumed: bool) -> None:
        """Begin a task; if that triggers a bug, only this task fails."""
        try:
            self._begin(task, is_resumed=is_resumed)
        except Exception:  # otherwise the dispatcher would crash on this task at every restart
            log.exception("task.crashed", task_id=task.id)
            await self._end_crashed(task.id)

    async def _end_crashed(self, task_id: TaskId) -> None:
        """Fail a task after a bug; if that is not possible either, skip it until the next start."""
        try:
            current = await self._context.recorder.current(task_id)
            if not current.status.is_terminal:
                await self._context.recorder.fail(current, failure("internal_error"))
        except Exception:  # the dispatcher must go on, or every task would wait forever
            self._abandon(task_id)
            log.exception("task.abandoned", task_id=task_id)

    def _abandon(self, task_id: TaskId) -> None:
        self._context.counts["abandoned"] += 1
        self._abandoned[task_id] = None
        if len(self._abandoned) > MAX_ABANDONED:
            self._abandoned.popitem(last=False)

    def _begin(self, task: Task, *, is_resumed: bool) -> None:
        run = TaskRun(is_resumed=is_resumed)
        if not is_resumed:
            run.ticket = self._context.create_limiter.enter()
        if (report := self._early_reports.pop(task.id, None)) is not None:
            run.report(report)
        execution = asyncio.create_task(self._execute(task, run), name=f"task-{task.id}")
        self._runs[task.id] = (run, execution)
        execution.add_done_callback(partial(self._ended, task.id))

    def _ended(self, task_id: TaskId, execution: asyncio.Task[Task | None]) -> None:
        run, _ = self._runs.pop(task_id)
        self._context.release_create(run)
        self._wake.set()
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
                self._store_early_report(task_id, snapshot)

    async def _execute(self, task: Task, run: TaskRun) -> Task | None:
        """Run a task to its end; returns None after a bug."""
        try:
            return await execute(self._context, run, task)
        except Exception:  # a bug in one task ends that task, not the worker
            log.exception("task.crashed", task_id=task.id)
            await self._end_crashed(task.id)
            return None
