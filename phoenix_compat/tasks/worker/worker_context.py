"""What every step of a run has at hand, and what belongs to one run alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.prediction import PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task, TaskId
from phoenix_compat.tasks.model.task_types import TaskType
from phoenix_compat.tasks.provider.provider import Provider
from phoenix_compat.tasks.worker.create_limiter import CreateLimiter
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.recorder import Recorder
from phoenix_compat.tasks.worker.token_bucket import TokenBucket


class Archive(Protocol):
    """What keeps copies of the pictures."""

    async def keep(self, task: Task, urls: Sequence[str]) -> Sequence[StoredFile]:
        """Copy a task's files; in the order of `urls`.

        Raises:
            ArchiveError: at least one was not kept; `error.kept` has the others.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """The worker's tools, shared by all runs.

    Attributes:
        create limiter: all creates pass it.
        looks: the budget of all other requests to the provider.
        jitter: random numbers from 0.0 to 1.0.
        archive: None keeps no copies.
        refused: tasks that have probed the open circuit in vain, the last one last.
        counts: `repeats`, `fallbacks`, `archive_failures`, `unreadable` (rows that were set aside)
            and `abandoned` (tasks that a bug kept even from being failed) since the start, for
            operators.
        wake: tells the dispatcher that something may start.
    """

    provider: Provider
    recorder: Recorder
    create_limiter: CreateLimiter
    looks: TokenBucket
    clock: Clock
    options: WorkerOptions
    task_types: Mapping[str, TaskType]
    jitter: Callable[[], float]
    wake: Callable[[], None]
    archive: Archive | None = None
    refused: dict[TaskId, None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    async def pause(self, wait_s: float) -> None:
        """Wait, whatever happens."""
        await self.clock.wait(asyncio.Event(), wait_s)

    def leave_create_limiter(self, job: Job) -> None:
        """This run's create is over; the next one may pass."""
        if job.ticket is not None:
            self.create_limiter.leave(job.ticket)
            job.ticket = None
            self.wake()

    async def may_poll(self) -> None:
        """Wait for this request's share of the budget."""
        wait_s = self.looks.reserve()
        if wait_s > 0:
            await self.pause(wait_s)


@dataclass(slots=True, kw_only=True)
class Job:
    """One run of one task.

    Attributes:
        is_resumed: a stopped server began it, so its prediction may be old.
        ticket: given back to the create limiter when the create is over; None for a run without
        one.
        is_creating: an order is being placed; stopping now could lose what was paid for.
        lost_status: the HTTP status of a create whose outcome is unknown, if it had one.
        is_reported: webhooks tell of its prediction, so looks are rare.
        news: what webhooks said of predictions and nobody has read yet, by prediction id.
        told: set with each webhook.
        wake: set when the task's row has changed, or a webhook has come.
    """

    is_resumed: bool
    ticket: int | None = None
    is_creating: bool = False
    lost_status: int | None = None
    is_reported: bool = False
    news: dict[str, PredictionSnapshot] = field(default_factory=dict)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, snapshot: PredictionSnapshot | None) -> None:
        """Hand over what a webhook says; None says only that a look is worth it.

        Webhooks overtake each other: one that says "it goes on" never hides one that says "it
        has ended".
        """
        if snapshot is not None:
            self.is_reported = True
            known = self.news.get(snapshot.ref.id)
            if known is None or known.state is PredictionState.ACTIVE:
                self.news[snapshot.ref.id] = snapshot
        self.told.set()
        self.wake.set()
