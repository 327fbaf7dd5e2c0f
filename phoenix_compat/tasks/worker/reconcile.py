"""Finds the prediction of a create whose answer was lost. submitting → running | queued | failed.

If the create arrived, its prediction is already paid for. So it is looked up at the provider before
the create is sent again; while a prediction may be this task's, it is not sent again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from phoenix_compat.tasks.model.errors import ProviderError, ProviderThrottledError
from phoenix_compat.tasks.model.results.failure import failure
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.adopt import adopt_first, adopt_reported
from phoenix_compat.tasks.worker.context import WorkerContext
from phoenix_compat.tasks.worker.run_state import TaskRun

log = structlog.stdlib.get_logger(__name__)


class ReconcileSteps:
    """The step for a task whose create has an unknown outcome."""

    def __init__(self, context: WorkerContext, run: TaskRun) -> None:
        self._context = context
        self._run = run
        self._recorder = context.recorder
        self._options = context.options

    async def find_prediction(self, task: Task) -> Task:
        """Look the task's prediction up at the provider, and adopt it.

        Returns:
            The task as running; or, if it was not found, as queued for one more create
            or as failed.
        """
        lookups = failures = 0
        waits_s = self._options.reconcile_waits_s
        deadline_s = self._options.deadline_s if task.deadline_s is None else task.deadline_s
        give_up_at_s = self._context.clock.monotonic() + deadline_s
        wait_s = waits_s[0]
        while task.status is TaskStatus.SUBMITTING:
            await self._context.clock.wait(self._run.reported, wait_s)
            task = await adopt_reported(self._context, self._run, task)
            if task.status is not TaskStatus.SUBMITTING:
                break
            await self._context.wait_for_poll()
            try:
                found = await self._context.provider.find(self._since(task), task)
            except ProviderError as error:
                failures += 1
                log.warning("create.lookup_failed", task_id=task.id, reason=str(error))
                if self._context.clock.monotonic() >= give_up_at_s:
                    return await self._recorder.fail(task, failure("unknown_outcome"))
                wait_s = self._wait_after(error, failures)
                continue
            task = await adopt_first(self._context, task, found.ours)
            lookups += 1
            if task.status is TaskStatus.SUBMITTING and lookups == len(waits_s):
                if await self._recorder.has_unclaimed(found.maybe):
                    log.warning("create.not_recognized", task_id=task.id, found=len(found.maybe))
                    return await self._recorder.fail(task, failure("unknown_outcome"))
                return await self._create_again_or_fail(task)
            wait_s = waits_s[min(lookups, len(waits_s) - 1)]
        return task

    async def _create_again_or_fail(self, task: Task) -> Task:
        """Queue the task for one more create if that is allowed; otherwise fail it."""
        task = await self._recorder.current(task)
        if task.is_cancel_requested:
            return await self._recorder.fail(task, failure("canceled"))
        creates_lost = task.attempts - task.retries
        is_recent = self._age_s(task) < self._options.retention_s
        if creates_lost <= self._options.max_resubmits and is_recent:
            log.warning("create.repeated", task_id=task.id, attempts=task.attempts)
            return await self._recorder.move(task, TaskStatus.QUEUED)
        was_answered = self._run.lost_status is not None
        code = "provider_unavailable" if was_answered else "unknown_outcome"
        return await self._recorder.fail(task, failure(code))

    def _age_s(self, task: Task) -> float:
        """The age of the first create; by the wall clock, which may jump, only if it must be."""
        if self._run.submitted_at_s is not None:
            return self._context.clock.monotonic() - self._run.submitted_at_s
        submitted_at = task.submitted_at or task.updated_at
        return (self._context.clock.now() - submitted_at).total_seconds()

    def _since(self, task: Task) -> datetime:
        margin = timedelta(seconds=self._options.find_margin_s)
        return (task.submitted_at or task.updated_at) - margin

    def _wait_after(self, error: ProviderError, failures: int) -> float:
        if isinstance(error, ProviderThrottledError):
            self._context.polls.shut_for(error.retry_after_s)
            return error.retry_after_s
        return self._options.retry_wait_s(failures)
