"""Sample tasks and prediction snapshots; a test gives only the values that matter to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Unpack

import msgspec

from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task, TaskChanges, TaskId, TaskStatus

CREATED_AT = datetime(2026, 1, 5, 10, 0, 0, 123456, UTC)


def make_task(status: TaskStatus = TaskStatus.QUEUED, **changes: Unpack[TaskChanges]) -> Task:
    """A task of type image, created at `CREATED_AT`."""
    task = Task(
        id=TaskId("t-1"),
        number=1,
        type="image",
        task_type="image_gen",
        model="google/imagen-4-fast",
        input_data={"type": "image", "prompt": "Medieval monk"},
        provider_input={"prompt": "Medieval monk"},
        fingerprint="f" * 64,
        status=status,
        created_at=CREATED_AT,
        updated_at=CREATED_AT,
    )
    return msgspec.structs.replace(task, **changes)


def make_snapshot(
    state: PredictionState, *, output: object = None, error_text: str = "", logs: str = ""
) -> PredictionSnapshot:
    """A snapshot of the prediction p-1."""
    return PredictionSnapshot(
        ref=PredictionRef("p-1"),
        state=state,
        raw_status=state.value,
        output=output,
        error_text=error_text,
        logs=logs,
    )
