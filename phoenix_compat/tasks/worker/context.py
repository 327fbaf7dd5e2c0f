"""What all runs of a worker share: the provider, the store, the limits and the options."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.task import Task, TaskId
from phoenix_compat.tasks.model.task_types import InputPolicy, TaskType
from phoenix_compat.tasks.observability.observed_provider import ObservedProvider
from phoenix_compat.tasks.observability.task_measures import TaskMeasures
from phoenix_compat.tasks.observability.tracing import NoTracer, TaskTracer
from phoenix_compat.tasks.provider.provider import Provider
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.streams.output_sink import OutputSink
from phoenix_compat.tasks.streams.text_follower import TextStreams
from phoenix_compat.tasks.token_bucket import TokenBucket
from phoenix_compat.tasks.worker.limits.create_limiter import CreateLimiter
from phoenix_compat.tasks.worker.limits.create_reports import CreateReports, OwnReports
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.recorder import Announce, Recorder
from phoenix_compat.tasks.worker.run_state import TaskRun

MakeLimits: TypeAlias = Callable[
    [Counter[str], dict[TaskId, None]], tuple[CreateLimiter, CreateReports]
]
"""Makes the limits of creates; gets the `counts` and the `failed_probes` of the worker."""


class Archive(Protocol):
    """Stores copies of output files."""

    async def keep(self, task: Task, urls: Sequence[str]) -> Sequence[StoredFile]:
        """Copy a task's files; the result is in the order of `urls`.

        Raises:
            ArchiveError: at least one file was not stored; `error.kept` has the others.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """The objects that all runs of a worker use.

    Attributes:
        recorder: writes moves to the store and announces them.
        create_limiter: limits how fast creates are sent.
        reports: learns how creates ended.
        polls: the rate limit of all other requests to the provider.
        jitter: returns random numbers from 0.0 to 1.0.
        outputs: shows outputs that are not complete yet.
        texts: the streams of texts that are being written.
        policy: what the operator allows; None allows everything.
        wake: wakes the dispatcher, because another task may be able to start.
        archive: None if no copies are stored.
        failed_probes: tasks whose create failed while the circuit was open, the latest last.
        counts: `repeats`, `fallbacks`, `archive_failures`, `unreadable` (rows that were set aside)
            and `abandoned` (tasks that a bug kept from being marked as failed) since the start, and
            those of `TextStreams`. Where nodes share the store also `takeovers`, `leases_lost`,
            `renewals_failed`, `creates_held_back` and `reports_dropped`.
        measures: what is counted for metrics.
        tracer: listens to the steps of tasks.
    """

    provider: Provider
    recorder: Recorder
    create_limiter: CreateLimiter
    reports: CreateReports
    polls: TokenBucket
    clock: Clock
    options: WorkerOptions
    task_types: Mapping[str, TaskType]
    jitter: Callable[[], float]
    texts: TextStreams
    outputs: OutputSink
    wake: Callable[[], None]
    archive: Archive | None = None
    policy: InputPolicy | None = None
    failed_probes: dict[TaskId, None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    measures: TaskMeasures = field(default_factory=TaskMeasures)
    tracer: TaskTracer = field(default_factory=NoTracer)

    def release_create(self, run: TaskRun) -> None:
        """Let the next create be sent: this run's create is over, or was never sent."""
        run.is_creating = False
        if run.ticket is not None:
            self.create_limiter.leave(run.ticket)
            run.ticket = None
            self.wake()

    async def wait_for_poll(self) -> None:
        """Wait until the rate limit admits one more request that is not a create."""
        wait_s = self.polls.reserve()
        if wait_s > 0:
            await self.clock.wait(asyncio.Event(), wait_s)


def make_context(  # noqa: PLR0913 - the parts of a worker, by name
    store: TaskStore,
    provider: Provider,
    announce: Announce,
    *,
    options: WorkerOptions,
    clock: Clock,
    task_types: Mapping[str, TaskType],
    archive: Archive | None,
    outputs: OutputSink,
    policy: InputPolicy | None,
    tracer: TaskTracer,
    jitter: Callable[[], float],
    wake: Callable[[], None],
    make_limits: MakeLimits | None = None,
) -> WorkerContext:
    """The objects of a worker, made of what it was given; see Worker."""
    counts: Counter[str] = Counter()
    measures = TaskMeasures()
    failed_probes: dict[TaskId, None] = {}
    reports: CreateReports
    if make_limits is None:
        limiter = CreateLimiter(clock, options)
        reports = OwnReports(limiter)
    else:
        limiter, reports = make_limits(counts, failed_probes)
    return WorkerContext(
        provider=ObservedProvider(provider, measures.requests, tracer),
        recorder=Recorder(
            store, announce, clock, options, counts, measures=measures, tracer=tracer
        ),
        counts=counts,
        measures=measures,
        tracer=tracer,
        create_limiter=limiter,
        reports=reports,
        failed_probes=failed_probes,
        polls=TokenBucket(options.polls_per_s, options.polls_per_s, clock.monotonic),
        clock=clock,
        options=options,
        task_types=task_types,
        jitter=jitter,
        outputs=outputs,
        texts=TextStreams(provider.stream, outputs, clock, options.streams, counts),
        wake=wake,
        archive=archive,
        policy=policy,
    )
