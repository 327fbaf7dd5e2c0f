"""Following a running prediction to its end. running → completed | failed.

Trouble with looking is no trouble with the prediction: it is counted and outlived until the
deadline. A result that is there is kept, even when a cancel or the deadline came first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from phoenix_compat.tasks.archive.errors import ArchiveError
from phoenix_compat.tasks.archive.stored_file import StoredFile, with_own_urls
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
)
from phoenix_compat.tasks.model.failure import Failure, failure
from phoenix_compat.tasks.model.models import model_family
from phoenix_compat.tasks.model.outcome import outcome
from phoenix_compat.tasks.model.output import normalise_output
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot
from phoenix_compat.tasks.model.progress import bar_fraction, next_progress, time_fraction
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskStatus
from phoenix_compat.tasks.provider.prediction_document import KNOWN_STATUSES
from phoenix_compat.tasks.worker.worker_context import Job, WorkerContext

log = structlog.stdlib.get_logger(__name__)

MIN_WAIT_S = 0.01
TROUBLE_AFTER = 3
"""So many looks that failed in a row are told to the operator."""


class Follow:
    """One prediction being followed."""

    def __init__(self, context: WorkerContext, job: Job, task: Task, ref: PredictionRef) -> None:
        self._context = context
        self._job = job
        self._task = task
        self._ref = ref
        started_at = task.started_at or task.updated_at
        # The wall clock only says how old a resumed prediction is; from here on it is not asked.
        age_s = max((context.clock.now() - started_at).total_seconds(), 0.0)
        self._began_s = context.clock.monotonic() - age_s
        self._looks = 0
        self._failures = 0
        self._missing = 0
        self._cancel_began_s: float | None = None
        self._is_cancel_sent = False
        self._wait_s = 0.0 if job.is_resumed else self._pace()
        self._has_warned = False

    async def to_its_end(self) -> Task:
        """Look, record, announce, until the task has ended; the ended task."""
        while self._is_running:
            await self._context.clock.wait(self._job.wake, self._next_wait_s)
            await self._reread_if_woken()
            await self._read_or_look()
            await self._end_if_time_is_up()
        return self._task

    @property
    def _is_running(self) -> bool:
        return self._task.status is TaskStatus.RUNNING

    @property
    def _age_s(self) -> float:
        return self._context.clock.monotonic() - self._began_s

    @property
    def _deadline_s(self) -> float:
        own_s = self._task.deadline_s
        return self._context.options.deadline_s if own_s is None else own_s

    @property
    def _is_near_deadline(self) -> bool:
        # The provider counts from the order, we from its answer, so its timer rings before ours.
        return self._age_s >= self._deadline_s * 0.8

    @property
    def _next_wait_s(self) -> float:
        left_s = self._deadline_s + self._context.options.deadline_grace_s - self._age_s
        return min(self._wait_s, max(left_s, MIN_WAIT_S))

    def _pace(self) -> float:
        context = self._context
        is_reported = self._job.is_reported and self._cancel_began_s is None
        pace = context.options.poll
        return pace.wait_s(self._looks, self._age_s, context.jitter(), is_reported=is_reported)

    async def _reread_if_woken(self) -> None:
        if self._job.wake.is_set():
            self._job.wake.clear()
            self._task = await self._context.recorder.current(self._task.id)
        if self._task.is_cancel_requested and self._cancel_began_s is None:
            self._cancel_began_s = self._context.clock.monotonic()
            self._looks = 0

    async def _read_or_look(self) -> None:
        if self._is_running and not await self._read_news():
            await self._look()

    async def _read_news(self) -> bool:
        """Apply what a webhook said as if it had been seen; whether a look is needless now."""
        snapshot = self._job.news.pop(self._ref.id, None)
        if snapshot is None:
            return False
        await self._note(snapshot)
        return not self._must_cancel

    @property
    def _must_cancel(self) -> bool:
        wants_it = self._task.is_cancel_requested and not self._is_cancel_sent
        return self._is_running and wants_it

    async def _look(self) -> None:
        await self._context.may_poll()
        try:
            if self._must_cancel:
                snapshot = await self._context.provider.cancel(self._ref)
                self._is_cancel_sent = True
            else:
                snapshot = await self._context.provider.fetch(self._ref)
        except ProviderError as error:
            await self._note_trouble(error)
            return
        await self._note(snapshot)

    async def _note(self, snapshot: PredictionSnapshot) -> None:
        self._failures = self._missing = 0
        self._looks += 1
        self._wait_s = self._pace()
        await self._apply(snapshot)

    async def _note_trouble(self, error: ProviderError) -> None:
        self._failures += 1
        self._wait_s = self._context.options.retry_wait_s(self._failures)
        if isinstance(error, ProviderThrottledError):
            self._context.looks.shut_for(error.retry_after_s)
            self._wait_s = max(self._wait_s, error.retry_after_s)
        if self._failures == TROUBLE_AFTER:
            log.warning("provider.unreachable", task_id=self._task.id, reason=str(error))
        is_missing = isinstance(error, ProviderRefusedError) and error.status in {404, 410}
        self._missing = self._missing + 1 if is_missing else 0
        if self._missing >= self._context.options.max_missing:
            await self._fail(failure("expired"))

    async def _apply(self, snapshot: PredictionSnapshot) -> None:
        now = self._context.clock.now()
        task_type = self._context.task_types[self._task.type]
        result = outcome(
            self._task, task_type, snapshot, now=now, is_overdue=self._is_near_deadline
        )
        if result is None:
            await self._note_progress(snapshot)
        elif isinstance(result, Failure):
            await self._end_badly(result)
        else:
            files = await self._kept(normalise_output(snapshot.output).urls)
            own = with_own_urls(result, files, self._context.options.files_url)
            self._task = await self._context.recorder.move(
                self._task, TaskStatus.COMPLETED, result_data=own, completed_at=now, files=files
            )

    async def _kept(self, urls: Sequence[str]) -> tuple[JSONObject, ...]:
        """Copies of the files; a file that cannot be kept loses nobody the result."""
        if self._context.archive is None or not urls:
            return ()
        kept: Sequence[StoredFile | None] = ()
        try:
            async with asyncio.timeout(self._context.options.archive_patience_s):
                kept = await self._context.archive.keep(self._task, urls)
        except (ArchiveError, OSError) as error:
            # OSError covers TimeoutError.
            reason = error.reason if isinstance(error, ArchiveError) else type(error).__name__
            kept = error.kept if isinstance(error, ArchiveError) else ()
            self._context.counts["archive_failures"] += 1
            log.warning("task.not_archived", task_id=self._task.id, reason=reason)
        return tuple(file.document() for file in kept if file is not None)

    async def _end_badly(self, reason: Failure) -> None:
        allowed = min(reason.max_repeats, self._context.options.max_repeats)
        is_over = self._task.is_cancel_requested or self._task.retries >= allowed
        if is_over or self._task.unreadable:  # what was ordered cannot be ordered again
            await self._fail(reason)
            return
        retries = self._task.retries + 1
        log.warning("task.repeated", task_id=self._task.id, code=reason.code, retries=retries)
        self._context.counts["repeats"] += 1
        wait_s = self._context.options.repeat_wait_s(retries) * (0.5 + self._context.jitter())
        self._task = await self._context.recorder.move(
            self._task,
            TaskStatus.QUEUED,
            retries=retries,
            prediction_id=None,
            submitted_at=None,
            started_at=None,
            not_before=self._context.clock.now() + timedelta(seconds=wait_s),
        )
        if self._task.status is TaskStatus.QUEUED and self._task.is_cancel_requested:
            await self._fail(failure("canceled"))

    async def _note_progress(self, snapshot: PredictionSnapshot) -> None:
        if snapshot.raw_status not in KNOWN_STATUSES and not self._has_warned:
            self._has_warned = True
            log.warning("prediction.unknown_status", status=snapshot.raw_status[:40])
        fraction = bar_fraction(snapshot.logs)
        if fraction is None:
            fraction = time_fraction(self._age_s, model_family(self._task.running_model).expected_s)
        reached = next_progress(self._task.progress, fraction)
        self._task = await self._context.recorder.progress(self._task, reached)

    async def _end_if_time_is_up(self) -> None:
        options = self._context.options
        if not self._is_running:
            return
        if self._cancel_began_s is not None:
            waited_s = self._context.clock.monotonic() - self._cancel_began_s
            if waited_s >= options.cancel_patience_s:
                await self._fail(failure("canceled"))
        elif self._age_s >= self._deadline_s + options.deadline_grace_s:
            await self._give_up()

    async def _give_up(self) -> None:
        try:
            await self._apply(await self._context.provider.cancel(self._ref))
        except ProviderError as error:
            log.warning("prediction.cancel_failed", task_id=self._task.id, reason=str(error))
        if self._is_running:
            is_blind = self._failures >= TROUBLE_AFTER
            await self._fail(failure("provider_unavailable" if is_blind else "timed_out"))

    async def _fail(self, reason: Failure) -> None:
        self._task = await self._context.recorder.fail(self._task, reason)
