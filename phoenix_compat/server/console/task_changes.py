"""Tells open consoles which tasks have changed, a few times a second and not for each change."""

from __future__ import annotations

import asyncio
from typing import Final

from phoenix_compat.background import BackgroundTask
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.tasks.model.clock import wire_time
from phoenix_compat.tasks.model.file_links import FILES_PATH
from phoenix_compat.tasks.model.task import JSONObject, Task

TOPIC: Final = "admin:tasks"
CHANGED: Final = "changed"
"""The event: `{"tasks": [...], "left_out": 0}`, with the newest state of each changed task."""

MAX_TASKS: Final = 200
"""Of more changes in one interval the rest is left out and counted; the page then reads its list
again."""
INTERVAL_S: Final = 0.25


class TaskChanges:
    """Collects changes while a console watches the tasks, and broadcasts them together.

    Without a watcher a change costs one look into a dict. A console that does not read has at most
    the unsent events of the outbox's limit, and is then disconnected.

    Attributes:
        left_out: how many changes were left out since the start.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.left_out = 0
        self._endpoint = endpoint
        self._topics = endpoint.pubsub.topics
        self._changed: dict[str, Task] = {}
        self._left_out_now = 0
        self._sending = BackgroundTask("console-changes", self._send, is_endless=False)

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The task that sends, while it runs."""
        return (self._sending,) if self._sending.is_running else ()

    def note(self, task: Task) -> None:
        """A task has changed; the feed calls this for every change."""
        if TOPIC not in self._topics:
            return
        if task.id not in self._changed and len(self._changed) >= MAX_TASKS:
            self._left_out_now += 1
            self.left_out += 1
            return
        self._changed[task.id] = task.without_inputs()
        self._sending.start()

    async def stop(self) -> None:
        """Forget what was not sent."""
        await self._sending.stop()

    async def _send(self) -> None:
        while self._changed:
            await asyncio.sleep(INTERVAL_S)
            changed, self._changed = self._changed, {}
            left_out, self._left_out_now = self._left_out_now, 0
            payload = {
                "tasks": [change_of(task) for task in changed.values()],
                "left_out": left_out,
            }
            self._endpoint.local_broadcast(TOPIC, CHANGED, payload)


def change_of(task: Task) -> JSONObject:
    """What may have changed in a row of the list."""
    change: JSONObject = {
        "task_id": task.id,
        "state": task.status.value,
        "status": task.status.wire,
        "progress": float(task.progress),
        "updated_at": wire_time(task.updated_at),
        "model": task.running_model,
    }
    picture = picture_of(task)
    if picture is not None:
        change["picture"] = picture
    if task.completed_at is not None:
        change["completed_at"] = wire_time(task.completed_at)
    if task.error_data is not None:
        change["error"] = task.error_data
    return change


def picture_of(task: Task) -> JSONObject | None:
    """The paths of a task's first picture and its thumbnail, if this server stores one."""
    for file in task.files:
        if str(file.get("content_type", "")).startswith("image/"):
            name = _name_of(file.get("path"))
            thumbnail = file.get("thumbnail_path")
            small = FILES_PATH + name
            if thumbnail:
                small = f"{FILES_PATH}thumbnails/{_name_of(thumbnail)}"
            return {"path": FILES_PATH + name, "thumbnail": small}
    return None


def _name_of(path: object) -> str:
    return str(path).rpartition("/")[2]
