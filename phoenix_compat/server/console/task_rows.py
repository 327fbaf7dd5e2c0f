"""What the list of tasks in the console shows of a task, and what may change in it."""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.model.clock import wire_time
from phoenix_compat.tasks.model.file_links import FILES_PATH
from phoenix_compat.tasks.model.task import UNREADABLE_OWNER, JSONObject, Task

MAX_PROMPT_CHARS: Final = 200
MAX_TEXT_CHARS: Final = 300


def row_of(task: Task, prompt: str | None) -> JSONObject:
    """A row of the list."""
    row = change_of(task)
    row |= {
        "number": task.number,
        "type": task.type,
        "created_at": wire_time(task.created_at),
    }
    if prompt:
        row["prompt"] = prompt
    if task.owner not in {"", UNREADABLE_OWNER}:
        row["owner"] = task.owner
    return row


def change_of(task: Task) -> JSONObject:
    """The part of a row that may change."""
    change: JSONObject = {
        "task_id": task.id,
        "state": task.status.value,
        "progress": float(task.progress),
        "updated_at": wire_time(task.updated_at),
        "model": task.running_model,
    }
    picture = picture_of(task)
    if picture is not None:
        change["picture"] = picture
    text = (task.result_data or {}).get("text")
    if isinstance(text, str):
        change["text"] = text[:MAX_TEXT_CHARS]
    if task.completed_at is not None:
        change["completed_at"] = wire_time(task.completed_at)
    if task.error_data is not None:
        change["error"] = {name: task.error_data.get(name) for name in ("error", "code")}
    return change


def picture_of(task: Task) -> JSONObject | None:
    """The paths of a task's first picture and its thumbnail, if this server stores one."""
    for file in task.files:
        if str(file.get("content_type", "")).startswith("image/"):
            path = FILES_PATH + _name_of(file.get("path"))
            thumbnail = file.get("thumbnail_path")
            small = f"{FILES_PATH}thumbnails/{_name_of(thumbnail)}" if thumbnail else path
            return {"path": path, "thumbnail": small}
    return None


def _name_of(path: object) -> str:
    return str(path).rpartition("/")[2]
