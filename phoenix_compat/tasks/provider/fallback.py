"""Chooses the fallback model for a task whose model is unavailable. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.model.task_types import (
    InputPolicy,
    TaskParams,
    TaskType,
    determine_task_params,
)


def fallback_params(
    task: Task,
    task_types: Mapping[str, TaskType],
    default_models: Sequence[str] = (),
    policy: InputPolicy | None = None,
) -> TaskParams | None:
    """The task's parameters for the next fallback model; None when all were tried.

    Args:
        default_models: the fallback models for task types that have none of their own.
        policy: what the operator allows; None allows everything.
    """
    task_type = task_types.get(task.type)
    if task_type is None:
        return None
    tried = {*task.models_tried, task.running_model}
    for model in task_type.fallback_models or default_models:
        if model in tried:
            continue
        try:
            return determine_task_params({**task.input_data, "model": model}, task_types, policy)
        except InvalidInputError:
            continue  # this model does not accept the input, or may not run; the next one may
    return None
