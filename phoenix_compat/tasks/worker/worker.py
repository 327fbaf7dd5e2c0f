"""The worker: takes queued tasks in order, so many at a time, and sees each to its end.

It sleeps until a task arrives, a slot is free or a wait is over. One task's bug, or one row that
cannot be read, ends that task and nothing else. What is unfinished when it stops is taken up at the
next start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.failure import failure
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot
from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES, TaskType
from phoenix_compat.tasks.provider.provider import Provider
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.create_limiter import CreateLimiter, ProviderState
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.poll import Follow
from phoenix_compat.tasks.worker.recorder import Announce, Recorder
from phoenix_compat.tasks.worker.submit import Submit
from phoenix_compat.tasks.worker.token_bucket import TokenBucket
from phoenix_compat.tasks.worker.worker_context import Archive, Job, WorkerContext

MAX_EARLY_NEWS = 1_024
"""So many webhooks are kept for tasks that nobody has in hand; looks find what the rest tell."""
MAX_ABANDONED = 1_024
"""So many tasks that could not even be failed are let be; the oldest has another try then."""
MIN_WAIT_S = 0.01
"""Rounding of stored times must not make the worker spin."""

log = structlog.stdlib.get_logger(__name__)


class Worker:
    """Drives every task of a store through a provider. One per store."""

    def __init__(  # noqa: PLR0913 - its tools, and the seams of its tests
        self,
        store: TaskStore,
        provider: Provider,
        announce: Announce,
        *,
        options: WorkerOptions | None = None,
        task_types: Mapping[str, TaskType] = TASK_TYPES,
        clock: Clock | None = None,
        archive: Archive | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Make a worker that does nothing until `start`.

        Args:
            archive: keeps copies of the pictures; opened and closed by its owner.
            announce: called with the task after each committed change, on the event loop.

        Attributes:
            dispatcher: the task that begins all others.
        """
        self._clock = clock or SystemClock()
        self._options = options or WorkerOptions()
        self._store = store
        self._jobs: dict[TaskId, tuple[Job, asyncio.Task[None]]] = {}
        self._left_over: deque[Task] = deque()
        self._early_news: OrderedDict[TaskId, PredictionSnapshot] = OrderedDict()
        self._arrival = asyncio.Event()
        self._abandoned: OrderedDict[TaskId, None] = OrderedDict()
        self._must_look_back = False
        self._is_stopping = False
        self.dispatcher = BackgroundTask("dispatcher", self._dispatch)
        counts: Counter[str] = Counter()
        self._context = WorkerContext(
            provider=provider,
            recorder=Recorder(store, announce, self._clock, self._options, counts),
            counts=counts,
            create_limiter=CreateLimiter(self._clock, self._options),
            looks=TokenBucket(
                self._options.polls_per_s, self._options.polls_per_s, self._clock.monotonic
            ),
            clock=self._clock,
            options=self._options,
            task_types=task_types,
            jitter=jitter,
            wake=self._arrival.set,
            archive=archive,
        )

    @property
    def in_hand(self) -> int:
        """How many tasks are being worked on."""
        return len(self._jobs)

    @property
    def provider_state(self) -> ProviderState:
        """How it stands with the provider, for operators: the circuit and the pace."""
        return self._context.create_limiter.state

    @property
    def counts(self) -> Mapping[str, int]:
        """What happened since this worker was made; see `WorkerContext`."""
        return self._context.counts

    async def start(self) -> None:
        """Take up what was left unfinished, then whatever is queued.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        self._is_stopping = self._must_look_back = False
        self._left_over.extend(await self._store.unfinished())
        self.dispatcher.start()

    async def stop(self) -> None:
        """Finish the orders that are being placed and leave the rest to the next start."""
        self._is_stopping = True
        await self.dispatcher.stop()
        running = {run for _, run in self._jobs.values()}
        placing = {run for job, run in self._jobs.values() if job.is_creating}
        for run in running - placing:
            run.cancel()
        if placing:
            await asyncio.wait(placing, timeout=self._options.stop_patience_s)
        for run in placing:
            run.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._left_over.clear()

    def set_concurrency(self, concurrency: int) -> None:
        """So many tasks in hand at once from now on; none that is in hand is let go."""
        self._options = dataclasses.replace(self._options, concurrency=concurrency)
        self._arrival.set()

    def wake(self) -> None:
        """Say that a task was added. Costs nothing; may be called for none."""
        self._arrival.set()

    async def cancel(self, task_id: str) -> Task:
        """Ask that a task end; a queued one ends at once, a result that is faster is kept.

        Raises:
            TaskNotFoundError: there is none of this id.
            StoreUnavailableError: nothing was noted.
        """
        task = await self._store.request_cancel(task_id)
        if task.is_set_aside:
            task = await self._context.recorder.set_aside(task)
        if task.status is TaskStatus.QUEUED:
            task = await self._context.recorder.fail(task, failure("canceled"))
        if task.id in self._jobs:
            self._jobs[task.id][0].wake.set()
        return task

    async def notice(self, task_id: str, snapshot: PredictionSnapshot | None) -> bool:
        """Take what a webhook says of a task's prediction; the run that has the task applies it.

        Args:
            snapshot: None when the webhook only says that a look is worth it.

        Returns:
            Whether there is such a task.

        Raises:
            StoreUnavailableError: that cannot be told.
        """
        key = TaskId(task_id)
        if key in self._jobs:
            self._jobs[key][0].tell(snapshot)
            return True
        task = await self._store.get(task_id)
        if task is not None and snapshot is not None and not task.status.is_terminal:
            self._early_news[key] = snapshot
            if len(self._early_news) > MAX_EARLY_NEWS:
                self._early_news.popitem(last=False)
        return task is not None

    async def _dispatch(self) -> None:
        try:
            while True:
                self._arrival.clear()
                try:
                    wait_s = await self._start_what_may_start()
                except StoreUnavailableError as error:
                    log.warning("store.unavailable", reason=str(error))
                    wait_s = self._options.retry_first_s
                await self._clock.wait(self._arrival, wait_s)
        except BaseException:
            self._must_look_back = True
            raise

    async def _look_back(self) -> None:
        """After a crash: whoever was neither waiting nor in hand at that moment is taken up."""
        unfinished = await self._store.unfinished()
        known = self._jobs.keys() | self._abandoned.keys()
        self._left_over.clear()
        self._left_over.extend(task for task in unfinished if task.id not in known)
        self._must_look_back = False

    async def _start_what_may_start(self) -> float | None:
        """Fill the free slots; how long to wait for more, None for "until woken"."""
        if self._must_look_back:
            await self._look_back()
        while self._left_over and self._free > 0:
            task = self._left_over[0]
            if task.is_set_aside:
                await self._set_aside(task)
            else:
                await self._begin_or_abandon(task, is_resumed=True)
            self._left_over.popleft()
        await self._give_up_on_what_waited_too_long()
        for task in await self._due() if self._free > 0 else ():
            held = self._jobs.get(task.id)
            if held is not None and held[0].ticket is None:
                return None  # It is on its way back to the queue, where nobody overtakes it.
            if held is not None:
                continue
            if self._free <= 0:
                break
            if (gate_s := self._context.create_limiter.wait_s()) > 0:
                return None if gate_s == math.inf else max(gate_s, MIN_WAIT_S)
            await self._begin_or_abandon(task, is_resumed=False)
        if self._free <= 0:
            return None
        next_due = await self._store.next_due()
        if next_due is None:
            return None
        return max((next_due - self._clock.now()).total_seconds(), MIN_WAIT_S)

    async def _due(self) -> Sequence[Task]:
        """What may start now, the longest-waiting first.

        While the circuit is open those go first that have not tried it yet.
        """
        refused = self._context.refused
        if self._context.create_limiter.breaker.reason is None:
            refused.clear()
        due = await self._readable_due(self._options.concurrency + len(refused))
        if not refused:
            return due
        turn = {task_id: place for place, task_id in enumerate(refused, start=1)}
        return sorted(due, key=lambda task: turn.get(task.id, 0))

    async def _readable_due(self, limit: int) -> Sequence[Task]:
        """What may start now; rows that cannot be read are set aside, and do not hide others."""
        while True:
            due = await self._store.due(limit + len(self._abandoned))
            wanted = [task for task in due if task.id not in self._abandoned]
            unreadable = [task for task in wanted if task.is_set_aside]
            for task in unreadable:
                await self._set_aside(task)
            if not unreadable:
                return wanted

    async def _set_aside(self, task: Task) -> None:
        try:
            await self._context.recorder.set_aside(task)
        except Exception:  # a row must not keep others from being worked on, whatever is in it
            self._abandon(task.id)
            log.exception("task.abandoned", task_id=task.id)

    async def _give_up_on_what_waited_too_long(self) -> None:
        breaker, patience_s = self._context.create_limiter.breaker, self._options.breaker.patience_s
        while breaker.reason is not None and breaker.open_s >= patience_s:
            since = self._clock.now() - timedelta(seconds=patience_s)
            due = await self._readable_due(self._options.concurrency * 2)
            tired = [one for one in due if one.created_at <= since and one.id not in self._jobs]
            for task in tired:
                await self._context.recorder.fail(task, failure(breaker.reason))
            if not tired:
                return

    @property
    def _free(self) -> int:
        return self._options.concurrency - len(self._jobs)

    async def _begin_or_abandon(self, task: Task, *, is_resumed: bool) -> None:
        """Begin a task; a bug that shows with this one ends this one, and the next has its turn."""
        try:
            self._begin(task, is_resumed=is_resumed)
        except Exception:  # the same bug would meet the same task at each restart
            log.exception("task.crashed", task_id=task.id)
            await self._end_crashed(task.id)

    async def _end_crashed(self, task_id: TaskId) -> None:
        """Fail a task after a bug; when not even that can be done, let it be until a restart."""
        try:
            current = await self._context.recorder.current(task_id)
            if not current.status.is_terminal:
                await self._context.recorder.fail(current, failure("internal_error"))
        except Exception:  # no task of ours may end of it: the others would wait for ever
            self._abandon(task_id)
            log.exception("task.abandoned", task_id=task_id)

    def _abandon(self, task_id: TaskId) -> None:
        self._context.counts["abandoned"] += 1
        self._abandoned[task_id] = None
        if len(self._abandoned) > MAX_ABANDONED:
            self._abandoned.popitem(last=False)

    def _begin(self, task: Task, *, is_resumed: bool) -> None:
        job = Job(is_resumed=is_resumed)
        if not is_resumed:
            job.ticket = self._context.create_limiter.enter()
        if (news := self._early_news.pop(task.id, None)) is not None:
            job.tell(news)
        run = asyncio.create_task(self._run(task, job), name=f"task-{task.id}")
        self._jobs[task.id] = (job, run)
        run.add_done_callback(partial(self._ended, task.id))

    def _ended(self, task_id: TaskId, run: asyncio.Task[None]) -> None:
        job, _ = self._jobs.pop(task_id)
        self._context.leave_create_limiter(job)
        self._arrival.set()
        if not run.cancelled() and (error := run.exception()) is not None:
            self._abandon(task_id)
            log.error("task.abandoned", task_id=task_id, exc_info=error)

    async def _run(self, task: Task, job: Job) -> None:
        try:
            await self._advance(task, job)
        except Exception:  # one task's bug ends that task, not the worker
            log.exception("task.crashed", task_id=task.id)
            await self._end_crashed(task.id)

    async def _advance(self, task: Task, job: Job) -> None:
        submit = Submit(self._context, job)
        if task.status is TaskStatus.QUEUED:
            task = await submit.place(task)
        if task.status is TaskStatus.SUBMITTING and not self._is_stopping:
            task = await submit.reconcile(task)
        if task.status is TaskStatus.RUNNING and not self._is_stopping:
            if task.prediction_id is None:
                log.error("task.without_prediction", task_id=task.id)
                await self._context.recorder.fail(task, failure("internal_error"))
                return
            ref = PredictionRef(task.prediction_id)
            await Follow(self._context, job, task, ref).to_its_end()
