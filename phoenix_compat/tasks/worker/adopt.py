"""Assigns a prediction to a task that is being submitted. submitting → running."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from phoenix_compat.tasks.model.errors import PredictionTakenError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.context import WorkerContext
from phoenix_compat.tasks.worker.run_state import TaskRun

log = structlog.stdlib.get_logger(__name__)


async def adopt(context: WorkerContext, task: Task, ref: PredictionRef) -> Task:
    """Record that the prediction is this task's; return the task unchanged if another has it."""
    try:
        moved = await context.recorder.move(
            task,
            TaskStatus.RUNNING,
            prediction_id=ref.id,
            started_at=context.clock.now(),
            connect_failures=0,
        )
    except PredictionTakenError:
        # Another task with the same input has it. If that task adopted our prediction because the
        # answer to its own create was lost, a lookup finds the prediction it did not take.
        log.info("prediction.taken", task_id=task.id, prediction_id=ref.id)
        return task
    if moved.prediction_id == ref.id:
        context.measures.note_prediction(moved)
    return moved


async def adopt_first(context: WorkerContext, task: Task, refs: Sequence[PredictionRef]) -> Task:
    """Adopt the first of these predictions that no other task has."""
    for ref in refs:
        task = await adopt(context, task, ref)
        if task.status is not TaskStatus.SUBMITTING:
            break
    return task


async def adopt_reported(context: WorkerContext, run: TaskRun, task: Task) -> Task:
    """Adopt a prediction that a webhook named: the create arrived, but its answer was lost."""
    run.reported.clear()
    refs = [snapshot.ref for snapshot in run.reports.values()]
    return await adopt_first(context, task, refs)
