"""The worker: takes queued tasks in order, so many at a time, and sees each to its end.

It sleeps until a task arrives, a slot is free or a wait is over. One task's bug ends that task and
nothing else. What is unfinished when it stops is taken up at the next start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from phoenix_compat.tasks.bench import Archive, Bench, Job
from phoenix_compat.tasks.bucket import TokenBucket
from phoenix_compat.tasks.clock import Clock, SystemClock
from phoenix_compat.tasks.errors import StoreUnavailableError
from phoenix_compat.tasks.failure import failure
from phoenix_compat.tasks.follow import Follow
from phoenix_compat.tasks.gate import CreateGate, ProviderState
from phoenix_compat.tasks.kinds import KINDS, TaskKind
from phoenix_compat.tasks.pace import WorkerOptions
from phoenix_compat.tasks.provider import PredictionRef, Provider, Snapshot
from phoenix_compat.tasks.recorder import Announce, Recorder
from phoenix_compat.tasks.store import TaskStore
from phoenix_compat.tasks.submit import Submit
from phoenix_compat.tasks.task import Task, TaskId, TaskStatus

MAX_EARLY_NEWS = 1_024
"""So many webhooks are kept for tasks that nobody has in hand; looks find what the rest tell."""
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
        kinds: Mapping[str, TaskKind] = KINDS,
        clock: Clock | None = None,
        archive: Archive | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Make a worker that does nothing until `start`.

        Args:
            archive: keeps copies of the pictures; opened and closed by its owner.
            announce: called with the task after each committed change, on the event loop.
        """
        self._clock = clock or SystemClock()
        self._options = options or WorkerOptions()
        self._store = store
        self._jobs: dict[TaskId, tuple[Job, asyncio.Task[None]]] = {}
        self._left_over: deque[Task] = deque()
        self._early_news: OrderedDict[TaskId, Snapshot] = OrderedDict()
        self._arrival = asyncio.Event()
        self._dispatcher: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._bench = Bench(
            provider=provider,
            recorder=Recorder(store, announce, self._clock, self._options),
            gate=CreateGate(self._clock, self._options),
            looks=TokenBucket(
                self._options.looks_per_s, self._options.looks_per_s, self._clock.monotonic
            ),
            clock=self._clock,
            options=self._options,
            kinds=kinds,
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
        return self._bench.gate.state

    @property
    def counts(self) -> Mapping[str, int]:
        """`repeats`, `fallbacks` and `archive_failures` since this worker was made."""
        return self._bench.counts

    async def start(self) -> None:
        """Take up what was left unfinished, then whatever is queued.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        self._is_stopping = False
        self._left_over.extend(await self._store.unfinished())
        self._dispatcher = asyncio.create_task(self._dispatch(), name="worker")

    async def stop(self) -> None:
        """Finish the orders that are being placed and leave the rest to the next start."""
        self._is_stopping = True
        if self._dispatcher is not None:
            self._dispatcher.cancel()
            await asyncio.wait({self._dispatcher})
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
        if task.status is TaskStatus.QUEUED:
            task = await self._bench.recorder.fail(task, failure("canceled"))
        if task.id in self._jobs:
            self._jobs[task.id][0].wake.set()
        return task

    async def notice(self, task_id: str, snapshot: Snapshot | None) -> bool:
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
        while True:
            self._arrival.clear()
            try:
                wait_s = await self._start_what_may_start()
            except StoreUnavailableError as error:
                log.warning("store.unavailable", reason=str(error))
                wait_s = self._options.retry_first_s
            await self._clock.wait(self._arrival, wait_s)

    async def _start_what_may_start(self) -> float | None:
        """Fill the free slots; how long to wait for more, None for "until woken"."""
        while self._left_over and self._free > 0:
            self._begin(self._left_over.popleft(), is_resumed=True)
        await self._give_up_on_what_waited_too_long()
        for task in await self._due() if self._free > 0 else ():
            held = self._jobs.get(task.id)
            if held is not None and held[0].ticket is None:
                return None  # It is on its way back to the queue, where nobody overtakes it.
            if held is not None:
                continue
            if self._free <= 0:
                break
            if (gate_s := self._bench.gate.wait_s()) > 0:
                return None if gate_s == math.inf else max(gate_s, MIN_WAIT_S)
            self._begin(task, is_resumed=False)
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
        refused = self._bench.refused
        if self._bench.gate.breaker.reason is None:
            refused.clear()
        due = await self._store.due(self._options.concurrency + len(refused))
        if not refused:
            return due
        turn = {task_id: place for place, task_id in enumerate(refused, start=1)}
        return sorted(due, key=lambda task: turn.get(task.id, 0))

    async def _give_up_on_what_waited_too_long(self) -> None:
        breaker, patience_s = self._bench.gate.breaker, self._options.breaker.patience_s
        while breaker.reason is not None and breaker.open_s >= patience_s:
            since = self._clock.now() - timedelta(seconds=patience_s)
            due = await self._store.due(self._options.concurrency * 2)
            tired = [one for one in due if one.created_at <= since and one.id not in self._jobs]
            for task in tired:
                await self._bench.recorder.fail(task, failure(breaker.reason))
            if not tired:
                return

    @property
    def _free(self) -> int:
        return self._options.concurrency - len(self._jobs)

    def _begin(self, task: Task, *, is_resumed: bool) -> None:
        job = Job(is_resumed=is_resumed)
        if not is_resumed:
            job.ticket = self._bench.gate.enter()
        if (news := self._early_news.pop(task.id, None)) is not None:
            job.tell(news)
        run = asyncio.create_task(self._run(task, job), name=f"task-{task.id}")
        self._jobs[task.id] = (job, run)
        run.add_done_callback(partial(self._ended, task.id))

    def _ended(self, task_id: TaskId, run: asyncio.Task[None]) -> None:
        job, _ = self._jobs.pop(task_id)
        self._bench.leave_gate(job)
        self._arrival.set()
        if not run.cancelled() and (error := run.exception()) is not None:
            log.error("task.abandoned", task_id=task_id, exc_info=error)

    async def _run(self, task: Task, job: Job) -> None:
        try:
            await self._advance(task, job)
        except Exception:  # one task's bug ends that task, not the worker
            log.exception("task.crashed", task_id=task.id)
            current = await self._bench.recorder.current(task.id)
            if not current.status.is_terminal:
                await self._bench.recorder.fail(current, failure("internal_error"))

    async def _advance(self, task: Task, job: Job) -> None:
        submit = Submit(self._bench, job)
        if task.status is TaskStatus.QUEUED:
            task = await submit.place(task)
        if task.status is TaskStatus.SUBMITTING and not self._is_stopping:
            task = await submit.look_for(task)
        if task.status is TaskStatus.RUNNING and not self._is_stopping and task.prediction_id:
            ref = PredictionRef(task.prediction_id)
            await Follow(self._bench, job, task, ref).to_its_end()
