"""Writes the moves of tasks to the store, retrying while it is unavailable, then announces them.

A locked database must not cost a prediction that is already paid for, so writes are retried until
they succeed. A lost announcement does no harm: clients get the state from the row when they rejoin.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar, Unpack

import structlog

from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.errors import (
    BudgetError,
    LeaseLostError,
    StoreUnavailableError,
    TaskNotFoundError,
)
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.results.failure import Failure, failure
from phoenix_compat.tasks.model.task import Task, TaskChanges, TaskStatus
from phoenix_compat.tasks.observability.task_log import log_end
from phoenix_compat.tasks.observability.task_measures import TaskMeasures
from phoenix_compat.tasks.observability.tracing import NoTracer, TaskTracer
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.options import WorkerOptions

T = TypeVar("T")
Announce: TypeAlias = Callable[[Task], None]
"""Called with the task after each commit; must not block."""

MIN_STEP = 0.01
"""Smaller increases of the progress are not written."""

log = structlog.stdlib.get_logger(__name__)


class Recorder:
    """Stores the moves of tasks and announces them.

    Attributes:
        waiting: how many changes are kept until the store can be used again; one for each run.
    """

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        store: TaskStore,
        announce: Announce,
        clock: Clock,
        options: WorkerOptions,
        counts: Counter[str],
        *,
        measures: TaskMeasures | None = None,
        tracer: TaskTracer | None = None,
    ) -> None:
        self._store = store
        self._announce = announce
        self._clock = clock
        self._options = options
        self._counts = counts
        self._measures = measures or TaskMeasures()
        self._tracer = tracer or NoTracer()
        self.waiting = 0

    async def move(self, task: Task, to: TaskStatus, **changes: Unpack[TaskChanges]) -> Task:
        """Move a task and announce it; if another move came first, return the task as it is now.

        A move that clients cannot see (still processing, same progress) is not announced. A task
        whose row cannot be read in full is not queued again; nor is one whose next create would
        pass a cap.

        Raises:
            PredictionTakenError: `prediction_id` belongs to another task.
            LeaseLostError: another node has taken the task; nothing was written.
        """
        return await self._move(task, to, None, **changes)

    async def _move(
        self,
        task: Task,
        to: TaskStatus,
        provider_text: str | None,
        **changes: Unpack[TaskChanges],
    ) -> Task:
        if task.unreadable and to is TaskStatus.QUEUED:
            return await self.fail(task, failure("internal_error"))
        tries = 0

        async def move() -> Task | None:
            nonlocal tries
            tries += 1
            return await self._store.move(task, to, **changes)

        try:
            moved = await self._retried(move)
        except BudgetError as error:
            log.warning("create.over_cap", task_id=task.id, reason=str(error))
            attempts = changes.get("attempts", task.attempts)
            return await self.fail(task, failure("cap_reached"), attempts=attempts)
        if moved is None:
            current = await self.current(task)
            if tries == 1 or not to.is_terminal or current.status is not to:
                return current
            # An earlier try was committed, and only the answer was lost.
            moved = current
        if moved.is_set_aside and not to.is_terminal:
            return await self.set_aside(moved)
        if to.is_terminal:
            log_end(moved, self._measures.note_end(moved), provider_text)
        if moved.status.is_terminal or moved.progress != task.progress:
            self.announce(moved)
        return moved

    async def fail(self, task: Task, failure: Failure, *, attempts: int | None = None) -> Task:
        """End a task without a result.

        Args:
            attempts: its creates that may have been billed, if the last one certainly was not.
        """
        return await self._move(
            task,
            TaskStatus.FAILED,
            failure.provider_text,
            error_data=failure.error_data,
            attempts=task.attempts if attempts is None else max(attempts, 0),
        )

    async def set_aside(self, task: Task) -> Task:
        """End a task whose row cannot be read; the log names the columns, never their contents."""
        ended = await self._retried(lambda: self._store.set_aside(task))
        if ended is None:
            return task
        self._counts["unreadable"] += 1
        self._measures.note_end(ended)
        log.error("task.set_aside", task_id=task.id, columns=list(task.unreadable))
        self.announce(ended)
        return ended

    async def progress(self, task: Task, progress: float) -> Task:
        """Raise a running task's progress and announce it; small steps are skipped."""
        if progress - task.progress < MIN_STEP:
            return task
        raised = await self._retried(lambda: self._store.record_progress(task, progress))
        if raised is None:
            return await self.current(task)
        if raised.is_set_aside:
            return await self.set_aside(raised)
        self.announce(raised)
        return raised

    async def current(self, task: Task) -> Task:
        """Read the task from the store.

        Raises:
            LeaseLostError: another node has taken it since `task` was read.
        """
        current = await self._retried(lambda: self._store.get(task.id))
        if current is None:
            raise TaskNotFoundError(task.id)
        if current.lease != task.lease:
            raise LeaseLostError(task.id)
        return await self.set_aside(current) if current.is_set_aside else current

    async def has_unclaimed(self, refs: Sequence[PredictionRef]) -> bool:
        """Whether one of these predictions is not known to be any task's."""
        if not refs:
            return False
        ids = [ref.id for ref in refs]
        return bool(await self._retried(lambda: self._store.unclaimed_predictions(ids)))

    def announce(self, task: Task) -> None:
        """Announce a change that is committed."""
        if not task.status.is_terminal:
            self._announce_or_log(task)
            return
        with self._tracer.step("announce", task) as span:
            span.note(status=task.status.value, code=(task.error_data or {}).get("code"))
            self._announce_or_log(task)

    def _announce_or_log(self, task: Task) -> None:
        try:
            self._announce(task)
        except PhoenixCompatError as error:
            # Clients that missed it get the state when they join again; the task goes on.
            log.warning("task.announce_failed", task_id=task.id, reason=str(error))

    async def _retried(self, call: Callable[[], Awaitable[T]]) -> T:
        failures = 0
        try:
            while True:
                try:
                    return await call()
                except StoreUnavailableError as error:
                    failures += 1
                    self.waiting += failures == 1
                    log.warning("store.unavailable", failures=failures, reason=str(error))
                await self._clock.wait(asyncio.Event(), self._options.retry_wait_s(failures))
        finally:
            self.waiting -= failures > 0
