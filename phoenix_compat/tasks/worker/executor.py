"""Executes one task, from the queue to its end, as one list of steps.

    queued ──→ submitting ──→ running ──→ completed | failed
      ↑            │             │
      └────────────┴─────────────┘   not sent, throttled or lost; or failed, and worth a repeat

Every step takes the task and returns it as it is in the store afterwards. A step that does not
apply to the task's status returns the task unchanged, so a task that is resumed after a restart
goes through the same list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.worker.context import WorkerContext
from phoenix_compat.tasks.worker.create import CreateSteps
from phoenix_compat.tasks.worker.poll import PollSteps
from phoenix_compat.tasks.worker.reconcile import ReconcileSteps
from phoenix_compat.tasks.worker.run_state import TaskRun

Step: TypeAlias = Callable[[Task], Awaitable[Task]]


def steps_of(context: WorkerContext, run: TaskRun) -> Sequence[Step]:
    """The steps of a run, in their order."""
    create = CreateSteps(context, run)
    reconcile = ReconcileSteps(context, run)
    poll = PollSteps(context, run)
    return (
        create.end_if_canceled,  #      queued → failed
        create.mark_submitting,  #      queued → submitting, before anything is sent
        create.adopt_reported,  #       submitting → running, if a webhook names the prediction
        create.send,  #                 submitting → running | queued | failed, or unchanged
        create.release,  #              the next create may be sent
        reconcile.find_prediction,  #   submitting → running | queued | failed
        poll.until_ended,  #            running → completed | failed | queued
    )


async def execute(context: WorkerContext, run: TaskRun, task: Task) -> Task:
    """Run a task until it has ended, is back in the queue, or the worker stops."""
    try:
        for step in steps_of(context, run):
            if run.is_stopping and not run.is_creating:
                break
            task = await step(task)
    finally:
        context.release_create(run)
    return task
