"""The steps that create a prediction. queued → submitting → running.

The row says "submitting" before the create is sent, so the next process can tell that one may have
been sent. Here a task goes back to the queue only if its create certainly made no prediction; if
the create may have arrived, `reconcile` takes over.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Unpack

import structlog

from phoenix_compat.tasks.model.errors import (
    CreateHeldBackError,
    InputsUnavailableError,
    ProviderRefusedError,
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.results.failure import Failure, failure
from phoenix_compat.tasks.model.task import PROGRESS_STARTED, Task, TaskChanges, TaskStatus
from phoenix_compat.tasks.model.task_types import TaskParams
from phoenix_compat.tasks.provider.create_permit import create_permit
from phoenix_compat.tasks.provider.fallback import fallback_params
from phoenix_compat.tasks.worker.adopt import adopt, adopt_reported
from phoenix_compat.tasks.worker.circuit_breaker import ACCOUNT, UNAVAILABLE
from phoenix_compat.tasks.worker.context import WorkerContext
from phoenix_compat.tasks.worker.run_state import TaskRun

NO_CREDIT: Final = 402

log = structlog.stdlib.get_logger(__name__)


class CreateSteps:
    """The steps up to the point where the prediction's id is stored."""

    def __init__(self, context: WorkerContext, run: TaskRun) -> None:
        self._context = context
        self._run = run
        self._recorder = context.recorder
        self._limiter = context.create_limiter
        self._reports = context.reports
        self._options = context.options
        self._creates = context.measures.creates

    async def end_if_canceled(self, task: Task) -> Task:
        """Fail a queued task whose cancel was requested."""
        if task.status is TaskStatus.QUEUED and task.is_cancel_requested:
            return await self._recorder.fail(task, failure("canceled"))
        return task

    async def mark_submitting(self, task: Task) -> Task:
        """Record that a create is about to be sent."""
        if self._run.is_claimed and task.status is TaskStatus.SUBMITTING:
            return self._begin_claimed(task)
        if task.status is not TaskStatus.QUEUED:
            return task
        self._run.is_creating = True
        if task.submitted_at is None:
            self._note_start(task)
            self._run.submitted_at_s = self._context.clock.monotonic()
        return await self._recorder.move(
            task,
            TaskStatus.SUBMITTING,
            attempts=task.attempts + 1,
            submitted_at=task.submitted_at or self._context.clock.now(),
            not_before=None,
            progress=max(task.progress, PROGRESS_STARTED),
        )

    def _begin_claimed(self, task: Task) -> Task:
        """Note what `mark_submitting` notes; the claim has stored the same."""
        self._run.is_claimed = False
        self._run.is_creating = True
        if task.submitted_at == task.updated_at:
            self._note_start(task)
            self._run.submitted_at_s = self._context.clock.monotonic()
            self._recorder.announce(task)
        return task

    def _note_start(self, task: Task) -> None:
        """Count and trace the wait of a task whose first create is about to be sent."""
        self._context.measures.note_start(task, self._context.clock.now())
        queued_at = task.created_at if task.cycle == 1 and not task.retries else task.updated_at
        with self._context.tracer.step("queue", task, began_at=queued_at):
            pass

    async def adopt_reported(self, task: Task) -> Task:
        """Adopt the prediction of an earlier create, if a webhook has named it."""
        if not self._may_send(task):
            return task
        return await adopt_reported(self._context, self._run, task)

    async def send(self, task: Task) -> Task:
        """Send the create, once.

        Returns:
            The task as running, failed or queued again (to wait); or still submitting, if the
            create may have arrived.
        """
        if not self._may_send(task):
            return task
        if not await self._run.until_sure():
            return task
        try:
            with create_permit(lambda: self._run.is_sure):
                ref = await self._context.provider.submit(task)
        except CreateHeldBackError as error:
            log.warning("create.held_back", task_id=task.id, reason=str(error))
            self._context.counts["creates_held_back"] += 1
            return await self._requeue(task)
        except ProviderUnreachableError as error:
            self._creates["unreachable"] += 1
            return await self._not_sent(task, error)
        except ProviderThrottledError as error:
            self._creates["throttled"] += 1
            return await self._throttled(task, error)
        except ProviderRefusedError as error:
            self._creates["refused"] += 1
            return await self._refused(task, error)
        except ProviderUncertainError as error:
            self._creates["uncertain"] += 1
            log.warning("create.uncertain", task_id=task.id, reason=str(error))
            await self._reports.failed(UNAVAILABLE)
            self._run.lost_status = error.status
            return task
        self._creates["ok"] += 1
        self._run.created = ref
        task = await adopt(self._context, task, ref)
        await self._reports.succeeded()
        return task

    async def release(self, task: Task) -> Task:
        """Let the next create be sent."""
        self._context.release_create(self._run)
        return task

    def _may_send(self, task: Task) -> bool:
        # If an earlier process left the task in "submitting", it may have sent the create already.
        return self._run.is_creating and task.status is TaskStatus.SUBMITTING

    async def _not_sent(self, task: Task, error: ProviderUnreachableError) -> Task:
        failures = task.connect_failures + 1
        log.warning("create.not_sent", task_id=task.id, failures=failures, reason=str(error))
        is_ours = isinstance(error, InputsUnavailableError)
        if not is_ours and await self._reports.failed(UNAVAILABLE):
            return await self._wait_for_circuit(task)
        if failures >= self._options.max_connect_failures:
            return await self._recorder.fail(task, failure(UNAVAILABLE), attempts=task.attempts - 1)
        wait_s = self._options.retry_wait_s(failures)
        not_before = self._context.clock.now() + timedelta(seconds=wait_s)
        return await self._requeue(task, connect_failures=failures, not_before=not_before)

    async def _throttled(self, task: Task, error: ProviderThrottledError) -> Task:
        log.info("create.throttled", task_id=task.id, retry_after_s=error.retry_after_s)
        await self._reports.throttled(error, self._context.jitter())
        return await self._requeue(task, connect_failures=0)

    async def _refused(self, task: Task, error: ProviderRefusedError) -> Task:
        log.warning("create.refused", task_id=task.id, status=error.status, code=error.code)
        if error.code != ACCOUNT:
            await self._reports.answered()
        elif await self._reports.failed(ACCOUNT) or error.status == NO_CREDIT:
            # An empty account is no task's fault: all of them wait until it is filled. Any other
            # refusal may be of this task alone, so the first one fails.
            return await self._wait_for_circuit(task)
        if error.code == "model_unavailable":
            fallback = fallback_params(
                task,
                self._context.task_types,
                self._options.fallback_models,
                self._context.policy,
            )
            if fallback is not None:
                return await self._fall_back(task, fallback)
        return await self._recorder.fail(
            task, Failure(error.code, error.text), attempts=task.attempts - 1
        )

    async def _fall_back(self, task: Task, fallback: TaskParams) -> Task:
        log.warning("create.model_unavailable", task_id=task.id, model=task.running_model)
        self._context.counts["fallbacks"] += 1
        self._context.measures.note_fallback(task.running_model, fallback.model)
        return await self._requeue(
            task,
            models_tried=(*task.models_tried, task.running_model),
            provider_model=fallback.model,
            provider_input=fallback.provider_input,
            fingerprint=fallback.fingerprint,
            estimated_cost_usd=fallback.estimated_cost_usd,
        )

    async def _wait_for_circuit(self, task: Task) -> Task:
        # Another task sends the next probe: perhaps only this task's model is refused.
        self._context.failed_probes.pop(task.id, None)
        self._context.failed_probes[task.id] = None
        return await self._requeue(task)

    async def _requeue(self, task: Task, **changes: Unpack[TaskChanges]) -> Task:
        """Put the task back into the queue as if nothing had been sent; the create did not arrive.

        When all creates have to wait, the create limiter delays them, not the `not_before` of the
        row, so that the queue keeps its order.
        """
        if "not_before" not in changes and self._run.ticket is not None:
            self._limiter.hold(self._run.ticket)
        attempts = task.attempts - 1
        changes["attempts"] = attempts
        changes["submitted_at"] = task.submitted_at if attempts else None
        queued = await self._recorder.move(task, TaskStatus.QUEUED, **changes)
        return await self.end_if_canceled(queued)
