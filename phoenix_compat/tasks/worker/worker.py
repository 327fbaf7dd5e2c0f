"""The worker: takes queued tasks, a limited number at once, and runs each to its end.

The owners of the queued tasks take turns, and each owner's tasks are taken in order.

It sleeps until a task arrives, a slot is free or a wait is over. A bug in one task, or a row that
cannot be read, ends that task and no other. Tasks that are unfinished when the worker stops
continue at the next start. `executor` has the steps of one task.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import LeaseLostError, StoreUnavailableError
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
from phoenix_compat.tasks.worker.context import Archive, WorkerContext, make_context
from phoenix_compat.tasks.worker.dispatch.claims import Claims
from phoenix_compat.tasks.worker.dispatch.own_claims import OwnClaims
from phoenix_compat.tasks.worker.dispatch.runs import Runs
from phoenix_compat.tasks.worker.limits.create_limiter import ProviderState
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.recorder import Announce

if TYPE_CHECKING:
    from phoenix_compat.tasks.store.leases.lease_store import LeaseStore
    from phoenix_compat.tasks.worker.dispatch.renewal import LeaseOptions, LeaseRenewal

log = structlog.stdlib.get_logger(__name__)


class Worker:
    """Runs every task of a store at a provider. One per store, or one per node that shares it."""

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
        leases: LeaseStore | None = None,
        lease_options: LeaseOptions | None = None,
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
            leases: those of this node, where several share the store; None if this is the only one.
            lease_options: None for those that servers have.

        Attributes:
            dispatcher: the background task that begins the runs.
            runs: the tasks that it runs.
            renewal: renews the leases; None without leases.
            tracer: listens to the steps of tasks.
        """
        self._clock = clock or SystemClock()
        self._options = options or WorkerOptions()
        self._store = store
        self._wake = asyncio.Event()
        self._has_crashed = False
        self.dispatcher = BackgroundTask("dispatcher", self._dispatch)
        self.tracer: TaskTracer = tracer or NoTracer()
        sharing = None
        if leases is not None:
            from phoenix_compat.tasks.worker.dispatch.sharing import Sharing  # noqa: PLC0415 - rare

            sharing = Sharing(leases, lease_options, outputs or NoSink(), announce)
        context = make_context(
            store,
            provider,
            announce if sharing is None else sharing.outputs.announce,
            options=self._options,
            clock=self._clock,
            task_types=task_types,
            archive=archive,
            outputs=outputs or NoSink() if sharing is None else sharing.outputs,
            policy=policy,
            tracer=self.tracer,
            jitter=jitter,
            wake=self._wake.set,
            make_limits=None if sharing is None else sharing.limits(self._clock, self._options),
        )
        self.runs = Runs(context)
        self._claims: Claims = OwnClaims(store, self.runs)
        self.renewal: LeaseRenewal | None = None
        if sharing is not None:
            claims = sharing.claims(store, self.runs)
            self._claims, self.renewal = claims, claims.renewal

    @property
    def _context(self) -> WorkerContext:
        return self.runs.context

    @property
    def measures(self) -> TaskMeasures:
        """What is counted for metrics."""
        return self._context.measures

    @property
    def running(self) -> int:
        """How many tasks have a run."""
        return len(self.runs)

    @property
    def changes_waiting(self) -> int:
        """How many changes of tasks wait until the store can be used; at most one for each run."""
        return self._context.recorder.waiting

    @property
    def provider_state(self) -> ProviderState:
        """The provider as operators see it: the circuit and the rate of creates."""
        return self._context.create_limiter.state

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """What runs as long as the worker does."""
        return (self.dispatcher, *self._claims.background)

    def account_refused(self) -> None:
        """Hold creates back: the provider refuses the account, which was found without a create."""
        self._context.reports.account_refused()

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
        await self._claims.start()
        self.dispatcher.start()

    async def stop(self) -> None:
        """Stop; only creates that are on their way are finished first.

        They get `stop_patience_s`. All unfinished tasks continue at the next start.
        """
        await self.dispatcher.stop()
        await self.runs.stop(self._options.stop_patience_s)
        await self._claims.stop()

    def set_concurrency(self, concurrency: int) -> None:
        """Run this many tasks at once from now on; runs that have begun go on."""
        self.runs.concurrency = concurrency
        self._wake.set()

    def recheck(self, task_id: str) -> bool:
        """Let a task's run read its row again, because another node has changed it.

        Returns:
            Whether it runs here.
        """
        run = self.runs.of(TaskId(task_id))
        if run is not None:
            run.wake.set()
        return run is not None

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
            try:
                task = await self._context.recorder.fail(task, failure("canceled"))
            except LeaseLostError:  # another node has just begun it, and knows of the request
                task = await self._store.get(task_id, owner=owner) or task
        if (run := self.runs.of(task.id)) is not None:
            run.wake.set()
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
        if (run := self.runs.of(key)) is not None:
            run.report(snapshot)
            return True
        task = await self._store.get(task_id)
        if task is not None and snapshot is not None and not task.status.is_terminal:
            self.runs.store_early_report(key, snapshot)
        return task is not None

    async def _dispatch(self) -> None:
        try:
            while True:
                self._wake.clear()
                try:
                    if self._has_crashed:
                        await self._claims.recover()
                        self._has_crashed = False
                    wait_s = await self._claims.start_due()
                except StoreUnavailableError as error:
                    log.warning("store.unavailable", reason=str(error))
                    wait_s = self._options.retry_first_s
                await self._clock.wait(self._wake, wait_s)
        except BaseException:
            self._has_crashed = True
            raise
