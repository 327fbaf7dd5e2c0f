"""Which model steps in for one that cannot be had. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.model.task_types import TaskParams, TaskType, determine_task_params


def next_order(
    task: Task, task_types: Mapping[str, TaskType], usual: Sequence[str] = ()
) -> TaskParams | None:
    """The same order for the next model of the list, its inputs mapped anew; None at its end.

    Args:
        usual: the list of the task types that have none of their own.
    """
    task_type = task_types.get(task.type)
    if task_type is None:
        return None
    gone = {*task.models_tried, task.running_model}
    for model in task_type.fallback_models or usual:
        if model in gone:
            continue
        try:
            return determine_task_params({**task.input_data, "model": model}, task_types)
        except InvalidInputError:
            continue  # This one does not take such an input; the next may.
    return None
