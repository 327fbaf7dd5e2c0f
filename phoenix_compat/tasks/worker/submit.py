"""Placing an order, and finding out about one whose answer was lost. queued → submitting → running.

The row says "submitting" before the order is sent, so a crash at any point leaves a trace. Only an
order that was never sent is simply repeated; one that may have arrived is looked for first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Unpack

import structlog

from phoenix_compat.tasks.model.errors import (
    PredictionTakenError,
    ProviderError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.failure import Failure, failure
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.task import PROGRESS_STARTED, Task, TaskChanges, TaskStatus
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.provider.fallback import fallback_params
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT, UNAVAILABLE
from phoenix_compat.tasks.worker.worker_context import Job, WorkerContext

log = structlog.stdlib.get_logger(__name__)


class Submit:
    """The steps before a prediction has an id that is stored."""

    def __init__(self, context: WorkerContext, job: Job) -> None:
        self._context = context
        self._job = job
        self._recorder = context.recorder
        self._create_limiter = context.create_limiter
        self._options = context.options

    async def place(self, task: Task) -> Task:
        """Send the order of a queued task, once.

        Returns:
            The task running, failed, queued again (to wait), or submitting: then its order may
            have arrived, and `reconcile` finds out.
        """
        if task.is_cancel_requested:
            return await self._recorder.fail(task, failure("canceled"))
        self._job.is_creating = True
        try:
            marked = await self._recorder.move(
                task,
                TaskStatus.SUBMITTING,
                attempts=task.attempts + 1,
                submitted_at=task.submitted_at or self._context.clock.now(),
                not_before=None,
                progress=max(task.progress, PROGRESS_STARTED),
            )
            # A webhook may tell that an earlier order of this task arrived after all.
            marked = await self._adopt_reported(marked)
            if marked.status is not TaskStatus.SUBMITTING:
                return marked
            return await self._create(marked)
        finally:
            self._job.is_creating = False
            self._context.leave_create_limiter(self._job)

    async def reconcile(self, task: Task) -> Task:
        """Find the order of a submitting task at the provider and adopt it.

        Returns:
            The task running; or, when no order is there, queued for one more try or failed.
        """
        looks = failures = 0
        waits_s = self._options.reconcile_waits_s
        deadline_s = self._options.deadline_s if task.deadline_s is None else task.deadline_s
        patience_ends_s = self._context.clock.monotonic() + deadline_s
        wait_s = waits_s[0]
        while True:
            await self._context.clock.wait(self._job.told, wait_s)
            task = await self._adopt_reported(task)
            if task.status is not TaskStatus.SUBMITTING:
                return task
            await self._context.may_poll()
            try:
                refs = await self._context.provider.find(self._since(task), task.fingerprint)
            except ProviderError as error:
                failures += 1
                log.warning("order.look_failed", task_id=task.id, reason=str(error))
                if self._context.clock.monotonic() >= patience_ends_s:
                    return await self._recorder.fail(task, failure("unknown_outcome"))
                wait_s = self._wait_after(error, failures)
                continue
            task = await self._adopt_one(task, refs)
            looks += 1
            if task.status is not TaskStatus.SUBMITTING:
                return task
            if looks == len(waits_s):
                return await self._order_is_lost(task)
            wait_s = waits_s[looks]

    async def _create(self, task: Task) -> Task:
        try:
            ref = await self._context.provider.submit(task)
        except ProviderUnreachableError as error:
            return await self._not_sent(task, error)
        except ProviderThrottledError as error:
            return await self._throttled(task, error)
        except ProviderRefusedError as error:
            return await self._refused(task, error)
        except ProviderUncertainError as error:
            log.warning("order.uncertain", task_id=task.id, reason=str(error))
            self._create_limiter.failed(UNAVAILABLE)
            self._job.lost_status = error.status
            return task
        self._create_limiter.succeeded()
        return await self._adopt(task, ref)

    async def _adopt(self, task: Task, ref: PredictionRef) -> Task:
        try:
            return await self._recorder.move(
                task,
                TaskStatus.RUNNING,
                prediction_id=ref.id,
                started_at=self._context.clock.now(),
                connect_failures=0,
            )
        except PredictionTakenError:
            # It is that of a twin, a task with the same input; or a twin adopted ours while its own
            # answer was lost, and then the twin's order is ours and looking finds it.
            log.info("order.taken", task_id=task.id, prediction_id=ref.id)
            return task

    async def _adopt_reported(self, task: Task) -> Task:
        """Webhooks carry the ids of orders home whose answers were lost."""
        self._job.told.clear()
        refs = [snapshot.ref for snapshot in self._job.news.values()]
        return await self._adopt_one(task, refs) if refs else task

    async def _adopt_one(self, task: Task, refs: Sequence[PredictionRef]) -> Task:
        for ref in refs:
            task = await self._adopt(task, ref)
            if task.status is not TaskStatus.SUBMITTING:
                break
        return task

    async def _not_sent(self, task: Task, error: ProviderUnreachableError) -> Task:
        failures = task.connect_failures + 1
        log.warning("order.not_sent", task_id=task.id, failures=failures, reason=str(error))
        if self._create_limiter.failed(UNAVAILABLE):
            return await self._wait_for_the_circuit(task)
        if failures >= self._options.max_connect_failures:
            return await self._recorder.fail(task, failure(UNAVAILABLE))
        wait_s = self._options.retry_wait_s(failures)
        not_before = self._context.clock.now() + timedelta(seconds=wait_s)
        return await self._requeue(task, connect_failures=failures, not_before=not_before)

    async def _throttled(self, task: Task, error: ProviderThrottledError) -> Task:
        log.info("order.throttled", task_id=task.id, retry_after_s=error.retry_after_s)
        self._create_limiter.throttled(error, self._context.jitter())
        return await self._requeue(task, connect_failures=0)

    async def _refused(self, task: Task, error: ProviderRefusedError) -> Task:
        log.warning("order.refused", task_id=task.id, status=error.status, code=error.code)
        if error.code != ACCOUNT:
            self._create_limiter.answered()
        elif self._create_limiter.failed(ACCOUNT):
            return await self._wait_for_the_circuit(task)
        if error.code == "model_unavailable":
            stand_in = fallback_params(
                task, self._context.task_types, self._options.fallback_models
            )
            if stand_in is not None:
                return await self._order_instead(task, stand_in)
        return await self._recorder.fail(task, Failure(error.code, error.text))

    async def _order_instead(self, task: Task, stand_in: TaskParams) -> Task:
        log.warning("order.model_gone", task_id=task.id, model=task.running_model)
        self._context.counts["fallbacks"] += 1
        return await self._requeue(
            task,
            models_tried=(*task.models_tried, task.running_model),
            provider_model=stand_in.model,
            provider_input=stand_in.provider_input,
            fingerprint=stand_in.fingerprint,
            estimated_cost_usd=stand_in.estimated_cost_usd,
        )

    async def _wait_for_the_circuit(self, task: Task) -> Task:
        # Another task is the next probe: this one's model may be refused, and not the account.
        self._context.refused.pop(task.id, None)
        self._context.refused[task.id] = None
        return await self._requeue(task)

    async def _requeue(self, task: Task, **changes: Unpack[TaskChanges]) -> Task:
        """Back to the queue with nothing spent: this order did not arrive.

        Where all orders wait the create limiter holds them back, and not the row: whoever was
        first stays so.
        """
        if "not_before" not in changes and self._job.ticket is not None:
            self._create_limiter.hold(self._job.ticket)
        attempts = task.attempts - 1
        changes["attempts"] = attempts
        changes["submitted_at"] = task.submitted_at if attempts else None
        queued = await self._recorder.move(task, TaskStatus.QUEUED, **changes)
        if queued.is_cancel_requested and queued.status is TaskStatus.QUEUED:
            return await self._recorder.fail(queued, failure("canceled"))
        return queued

    async def _order_is_lost(self, task: Task) -> Task:
        task = await self._recorder.current(task.id)
        if task.is_cancel_requested:
            return await self._recorder.fail(task, failure("canceled"))
        ordered_at = task.submitted_at or task.updated_at
        age_s = (self._context.clock.now() - ordered_at).total_seconds()
        orders_lost = task.attempts - task.retries
        if orders_lost <= self._options.max_resubmits and age_s < self._options.retention_s:
            log.warning("order.repeated", task_id=task.id, attempts=task.attempts)
            return await self._recorder.move(task, TaskStatus.QUEUED)
        was_answered = self._job.lost_status is not None
        code = "provider_unavailable" if was_answered else "unknown_outcome"
        return await self._recorder.fail(task, failure(code))

    def _since(self, task: Task) -> datetime:
        margin = timedelta(seconds=self._options.find_margin_s)
        return (task.submitted_at or task.updated_at) - margin

    def _wait_after(self, error: ProviderError, failures: int) -> float:
        if isinstance(error, ProviderThrottledError):
            self._context.looks.shut_for(error.retry_after_s)
            return error.retry_after_s
        return self._options.retry_wait_s(failures)
