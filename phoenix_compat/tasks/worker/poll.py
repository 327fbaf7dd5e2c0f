"""Polls a running prediction until it has ended. running → completed | failed | queued.

A poll that fails says nothing about the prediction, so polling goes on until the deadline. A result
that is available is kept, even if a cancel was requested or the deadline has passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from phoenix_compat.tasks.archive.early_files import EarlyFiles
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
)
from phoenix_compat.tasks.model.models import model_family
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot
from phoenix_compat.tasks.model.progress import bar_fraction, next_progress, time_fraction
from phoenix_compat.tasks.model.results.failure import Failure, failure
from phoenix_compat.tasks.model.results.outcome import files_so_far, outcome
from phoenix_compat.tasks.model.results.output import output_text
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.model.task_types import TaskType, removed_type
from phoenix_compat.tasks.provider.prediction_document import KNOWN_STATUSES
from phoenix_compat.tasks.streams.text_follower import TextFollower
from phoenix_compat.tasks.worker.context import WorkerContext
from phoenix_compat.tasks.worker.finish import complete, fail_or_repeat
from phoenix_compat.tasks.worker.run_state import TaskRun

log = structlog.stdlib.get_logger(__name__)

MIN_WAIT_S = 0.01
FAILURES_BEFORE_WARNING = 3
"""After this many failed polls in a row, a warning is logged."""


@dataclass(slots=True, kw_only=True)
class PollState:
    """The polls of one prediction so far.

    Attributes:
        task_type: the task's type as it was when this run began; a reload may remove it.
        follower: follows the text that the prediction writes; None if it writes none.
        early_files: keeps the files that are ready before the others; None if there are none.
        began_s: when the prediction began, on the monotonic clock.
        wait_s: the wait before the next poll.
        failures: polls in a row that failed.
        missing: polls in a row that the provider answered with "no such prediction".
        cancel_began_s: when the cancel was first seen, on the monotonic clock.
    """

    ref: PredictionRef
    task_type: TaskType
    began_s: float
    follower: TextFollower | None = None
    early_files: EarlyFiles | None = None
    wait_s: float = 0.0
    polls: int = 0
    failures: int = 0
    missing: int = 0
    cancel_began_s: float | None = None
    is_cancel_sent: bool = False
    has_warned: bool = False


def _must_cancel(task: Task, state: PollState) -> bool:
    return task.is_cancel_requested and not state.is_cancel_sent


class PollSteps:
    """The step for a task whose prediction is running, and the parts of each round of it."""

    def __init__(self, context: WorkerContext, run: TaskRun) -> None:
        self._context = context
        self._run = run
        self._recorder = context.recorder
        self._options = context.options

    async def until_ended(self, task: Task) -> Task:
        """Poll, record and announce until the prediction has ended."""
        if task.status is not TaskStatus.RUNNING:
            return task
        if task.prediction_id is None:
            log.error("task.without_prediction", task_id=task.id)
            return await self._recorder.fail(task, failure("internal_error"))
        state = self._begin(task, PredictionRef(task.prediction_id))
        with self._context.tracer.step("poll", task) as span:
            span.note(prediction_id=state.ref.id, run_resumed=self._run.is_resumed)
            try:
                task = await self._rounds(task, state)
            finally:
                span.note(polls=state.polls)
                if state.follower is not None:
                    await state.follower.close()
                if state.early_files is not None:
                    await state.early_files.close()
            span.note(status=task.status.value)
        return task

    async def _rounds(self, task: Task, state: PollState) -> Task:
        round_steps = (self._wait, self._note_cancel, self._read_report_or_poll, self._check_time)
        while True:
            for step in round_steps:
                task = await step(task, state)
                if task.status is not TaskStatus.RUNNING:
                    return task

    def _begin(self, task: Task, ref: PredictionRef) -> PollState:
        # Only the age of a resumed prediction comes from the wall clock, which may jump; from here
        # on, times are monotonic.
        age_s = 0.0
        if self._run.is_resumed:
            started_at = task.started_at or task.updated_at
            age_s = max((self._context.clock.now() - started_at).total_seconds(), 0.0)
        state = PollState(
            ref=ref,
            task_type=self._context.task_types.get(task.type) or removed_type(task.task_type),
            began_s=self._context.clock.monotonic() - age_s,
        )
        if not self._run.is_resumed:
            state.wait_s = self._poll_wait_s(state)
        if state.task_type.writes_text:
            on_end = partial(self._run.report, None)  # asks for a poll
            state.follower = self._context.texts.follower(task.id, ref.id, on_end)
            if self._run.created == ref:
                self._follow_stream(task, state, self._run.created)
        if state.task_type.makes_files and self._context.archive is not None:
            show = partial(self._context.outputs.announce_files, task.id, ref.id)
            state.early_files = EarlyFiles(
                self._context.archive, task, show, patience_s=self._options.archive_patience_s
            )
        return state

    @staticmethod
    def _follow_stream(task: Task, state: PollState, ref: PredictionRef) -> None:
        if state.follower is not None and model_family(task.running_model).streams:
            state.follower.begin(ref)

    # The steps of a round.

    async def _wait(self, task: Task, state: PollState) -> Task:
        """Wait until the next poll is due; if woken earlier, read the row again."""
        overdue_at_s = self._deadline_s(task) + self._options.deadline_grace_s
        left_s = max(overdue_at_s - self._age_s(state), MIN_WAIT_S)
        await self._context.clock.wait(self._run.wake, min(state.wait_s, left_s))
        if not self._run.wake.is_set():
            return task
        self._run.wake.clear()
        return await self._recorder.current(task)

    async def _note_cancel(self, task: Task, state: PollState) -> Task:
        """Start the time limit of a cancel that was requested."""
        if task.is_cancel_requested and state.cancel_began_s is None:
            state.cancel_began_s = self._context.clock.monotonic()
            state.polls = 0
        return task

    async def _read_report_or_poll(self, task: Task, state: PollState) -> Task:
        """Apply a webhook's snapshot as if it had been polled; poll if there is none."""
        snapshot = self._run.reports.pop(state.ref.id, None)
        if snapshot is not None:
            task = await self._apply_polled(task, state, snapshot)
            if task.status is not TaskStatus.RUNNING or not _must_cancel(task, state):
                return task
        return await self._poll(task, state)

    async def _poll(self, task: Task, state: PollState) -> Task:
        """Ask the provider for the prediction, or to cancel it."""
        await self._context.wait_for_poll()
        try:
            if _must_cancel(task, state):
                snapshot = await self._context.provider.cancel(state.ref)
                state.is_cancel_sent = True
            else:
                snapshot = await self._context.provider.fetch(state.ref)
        except ProviderError as error:
            return await self._count_failure(task, state, error)
        return await self._apply_polled(task, state, snapshot)

    async def _check_time(self, task: Task, state: PollState) -> Task:
        """End a task that is past its deadline, or whose cancel takes too long."""
        if state.cancel_began_s is not None:
            waited_s = self._context.clock.monotonic() - state.cancel_began_s
            if waited_s >= self._options.cancel_patience_s:
                return await self._recorder.fail(task, failure("canceled"))
        elif self._age_s(state) >= self._deadline_s(task) + self._options.deadline_grace_s:
            return await self._give_up(task, state)
        return task

    # Applying the answer to a poll.

    async def _apply_polled(
        self, task: Task, state: PollState, snapshot: PredictionSnapshot
    ) -> Task:
        state.failures = state.missing = 0
        state.polls += 1
        state.wait_s = self._poll_wait_s(state)
        return await self._apply(task, state, snapshot)

    async def _apply(self, task: Task, state: PollState, snapshot: PredictionSnapshot) -> Task:
        # The provider counts from the create, we count from its answer: its deadline comes first.
        is_overdue = self._age_s(state) >= self._deadline_s(task) * 0.8
        now = self._context.clock.now()
        result = outcome(task, state.task_type, snapshot, now=now, is_overdue=is_overdue)
        if result is None:
            return await self._raise_progress(task, state, snapshot)
        if isinstance(result, Failure):
            return await fail_or_repeat(self._context, task, result)
        if state.follower is not None:
            state.follower.correct(str(result.get("text", "")), is_final=True)
        kept: Mapping[str, StoredFile] = {}
        if state.early_files is not None:
            await state.early_files.settle()
            kept = state.early_files.kept
        return await complete(self._context, task, result, now, kept)

    async def _raise_progress(
        self, task: Task, state: PollState, snapshot: PredictionSnapshot
    ) -> Task:
        if snapshot.raw_status not in KNOWN_STATUSES and not state.has_warned:
            state.has_warned = True
            log.warning("prediction.unknown_status", status=snapshot.raw_status[:40])
        if state.follower is not None:
            self._follow_stream(task, state, snapshot.ref)
            state.follower.correct(output_text(snapshot.output))
        if state.early_files is not None:
            state.early_files.show(files_so_far(task, snapshot))
        fraction = bar_fraction(snapshot.logs)
        if fraction is None:
            expected_s = model_family(task.running_model).expected_s
            fraction = time_fraction(self._age_s(state), expected_s)
        return await self._recorder.progress(task, next_progress(task.progress, fraction))

    async def _count_failure(self, task: Task, state: PollState, error: ProviderError) -> Task:
        state.failures += 1
        state.wait_s = self._options.retry_wait_s(state.failures)
        if isinstance(error, ProviderThrottledError):
            self._context.polls.shut_for(error.retry_after_s)
            state.wait_s = max(state.wait_s, error.retry_after_s)
        if state.failures == FAILURES_BEFORE_WARNING:
            log.warning("provider.unreachable", task_id=task.id, reason=str(error))
        is_missing = isinstance(error, ProviderRefusedError) and error.status in {404, 410}
        state.missing = state.missing + 1 if is_missing else 0
        if state.missing >= self._options.max_missing:
            # A prediction that was canceled may be gone before its end could be read.
            code = "canceled" if task.is_cancel_requested else "expired"
            return await self._recorder.fail(task, failure(code))
        return task

    async def _give_up(self, task: Task, state: PollState) -> Task:
        """Cancel a prediction that is past its deadline; if a result is available, keep it."""
        try:
            snapshot = await self._context.provider.cancel(state.ref)
        except ProviderError as error:
            log.warning("prediction.cancel_failed", task_id=task.id, reason=str(error))
        else:
            task = await self._apply(task, state, snapshot)
        if task.status is not TaskStatus.RUNNING:
            return task
        is_unreachable = state.failures >= FAILURES_BEFORE_WARNING
        code = "provider_unavailable" if is_unreachable else "timed_out"
        return await self._recorder.fail(task, failure(code))

    # Times.

    def _age_s(self, state: PollState) -> float:
        return self._context.clock.monotonic() - state.began_s

    def _deadline_s(self, task: Task) -> float:
        return self._options.deadline_s if task.deadline_s is None else task.deadline_s

    def _poll_wait_s(self, state: PollState) -> float:
        return self._options.poll.wait_s(
            state.polls,
            self._age_s(state),
            self._context.jitter(),
            is_reported=self._run.has_webhooks and state.cancel_began_s is None,
        )
