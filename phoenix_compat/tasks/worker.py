"""The worker: takes queued tasks in order, so many at a time, and sees each to its end.

It sleeps until a task arrives, a slot is free or a wait is over. One task's bug ends that task and
nothing else. What is unfinished when it stops is taken up at the next start.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from phoenix_compat.tasks.bench import Bench, Job
from phoenix_compat.tasks.clock import Clock, SystemClock
from phoenix_compat.tasks.errors import StoreUnavailableError
from phoenix_compat.tasks.failure import failure
from phoenix_compat.tasks.follow import Follow
from phoenix_compat.tasks.gate import CreateGate
from phoenix_compat.tasks.kinds import KINDS, TaskKind
from phoenix_compat.tasks.pace import WorkerOptions
from phoenix_compat.tasks.provider import PredictionRef, Provider
from phoenix_compat.tasks.recorder import Announce, Recorder
from phoenix_compat.tasks.store import TaskStore
from phoenix_compat.tasks.submit import Submit
from phoenix_compat.tasks.task import Task, TaskId, TaskStatus

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
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Make a worker that does nothing until `start`.

        Args:
            announce: called with the task after each committed change, on the event loop.
        """
        self._clock = clock or SystemClock()
        self._options = options or WorkerOptions()
        self._store = store
        self._jobs: dict[TaskId, tuple[Job, asyncio.Task[None]]] = {}
        self._left_over: deque[Task] = deque()
        self._arrival = asyncio.Event()
        self._dispatcher: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._bench = Bench(
            provider=provider,
            recorder=Recorder(store, announce, self._clock, self._options),
            gate=CreateGate(self._clock),
            clock=self._clock,
            options=self._options,
            kinds=kinds,
            jitter=jitter,
            running=lambda: len(self._jobs),
        )

    @property
    def in_hand(self) -> int:
        """How many tasks are being worked on."""
        return len(self._jobs)

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
        gate_s = self._bench.gate.wait_s()
        if self._free > 0 and gate_s > 0:
            return max(gate_s, MIN_WAIT_S)
        if self._free > 0:
            for task in await self._store.due(self._options.concurrency):
                if self._free > 0 and task.id not in self._jobs:
                    self._begin(task, is_resumed=False)
        if self._free <= 0:
            return None
        next_due = await self._store.next_due()
        if next_due is None:
            return None
        return max((next_due - self._clock.now()).total_seconds(), MIN_WAIT_S)

    @property
    def _free(self) -> int:
        return self._options.concurrency - len(self._jobs)

    def _begin(self, task: Task, *, is_resumed: bool) -> None:
        job = Job(is_resumed=is_resumed)
        run = asyncio.create_task(self._run(task, job), name=f"task-{task.id}")
        self._jobs[task.id] = (job, run)
        run.add_done_callback(partial(self._ended, task.id))

    def _ended(self, task_id: TaskId, run: asyncio.Task[None]) -> None:
        del self._jobs[task_id]
        self._arrival.set()
        if not run.cancelled() and (error := run.exception()) is not None:
            log.error("task.abandoned", task_id=task_id, exc_info=error)

    async def _run(self, task: Task, job: Job) -> None:
        try:
            await self._advance(task, job)
        except Exception:
            # The one place that catches all: one task's bug ends that task, not the worker.
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
