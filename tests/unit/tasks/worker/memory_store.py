"""One task in memory instead of a database, and a worker context above it, to test single steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Unpack

import msgspec

from phoenix_compat.tasks.model.task import Task, TaskChanges, TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES
from phoenix_compat.tasks.provider.provider import Provider
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.streams.output_sink import NoSink
from phoenix_compat.tasks.streams.text_follower import TextStreams
from phoenix_compat.tasks.token_bucket import TokenBucket
from phoenix_compat.tasks.worker.context import WorkerContext
from phoenix_compat.tasks.worker.limits.create_limiter import CreateLimiter
from phoenix_compat.tasks.worker.limits.create_reports import OwnReports
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.recorder import Recorder
from tests.integration.worker.fake_provider import FakeClock


class MemoryStore(TaskStore):
    """A store that holds one task.

    Attributes:
        task: the task as it is now.
        during: by method name, what a test does while that method is called for the first time.
    """

    def __init__(self, task: Task, clock: FakeClock) -> None:
        super().__init__(None, clock)
        self.task = task
        self.during: dict[str, Callable[[], None]] = {}

    async def get(
        self, task_id: str, *, owner: str | None = None, with_inputs: bool = True
    ) -> Task | None:
        """See `TaskStore`."""
        assert (owner, with_inputs) == (None, True)
        self._interrupt("get")
        return self.task if task_id == self.task.id else None

    async def move(self, task: Task, to: TaskStatus, **changes: Unpack[TaskChanges]) -> Task | None:
        """See `TaskStore`."""
        self._interrupt("move")
        if task.status is not self.task.status:
            return None
        self.task = self.task.moved(to, self._clock.now(), **changes)
        return self.task

    async def record_progress(self, task: Task, progress: float) -> Task | None:
        """See `TaskStore`."""
        self._interrupt("record_progress")
        if self.task.status is not TaskStatus.RUNNING or self.task.progress >= progress:
            return None
        self.task = msgspec.structs.replace(self.task, progress=progress)
        return self.task

    def _interrupt(self, method: str) -> None:
        self.during.pop(method, lambda: None)()


def worker_context(store: MemoryStore, provider: Provider, clock: FakeClock) -> WorkerContext:
    """A context with the usual options, without limits on polls and without an archive."""
    options = WorkerOptions()
    counts: Counter[str] = Counter()
    limiter = CreateLimiter(clock, options)
    return WorkerContext(
        provider=provider,
        recorder=Recorder(store, lambda _: None, clock, options, counts),
        create_limiter=limiter,
        reports=OwnReports(limiter),
        polls=TokenBucket(1e6, 1e6, clock.monotonic),
        clock=clock,
        options=options,
        task_types=TASK_TYPES,
        jitter=lambda: 0.5,
        texts=TextStreams(provider.stream, NoSink(), clock, options.streams, counts),
        outputs=NoSink(),
        wake=lambda: None,
        counts=counts,
    )
