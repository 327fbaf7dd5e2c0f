"""The paths of the API at which a task is found."""

from __future__ import annotations

from urllib.parse import quote

TASKS_PATH = "/api/tasks"


def task_path(task_id: str) -> str:
    """The path of a task, whatever was typed as its id."""
    return f"{TASKS_PATH}/{quote(task_id, safe='')}"
