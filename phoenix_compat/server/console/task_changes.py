"""Tells open consoles which tasks have changed, a few times a second and not for each change."""

from __future__ import annotations

import asyncio
from typing import Final

from phoenix_compat.background import BackgroundTask
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.console.task_rows import change_of
from phoenix_compat.tasks.model.task import Task

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

    @property
    def has_viewers(self) -> bool:
        """Whether a console here shows tasks."""
        return TOPIC in self._topics

    def note(self, task: Task) -> None:
        """A task has changed; the feed calls this for every change."""
        if not self.has_viewers:
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
