"""What the clients of a task hear: its changes as they are committed, and its present state."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.tasks.model.task import Task, progress_payload
from phoenix_compat.tasks.store.task_store import TaskStore

PROGRESS: Final = "progress"
"""The one event of a task's channel."""

_MAX_REMEMBERED: Final = 10_000


class TaskFeed:
    """Broadcasts changes of tasks, and remembers the newest of each.

    A client that joins must never be told something older than what it was already sent. What the
    store says may be overtaken by a change while it is being read; what this remembers cannot,
    because remembering and broadcasting happen in one step of the loop.
    """

    def __init__(self, store: TaskStore, endpoint: Endpoint) -> None:
        self._store = store
        self._endpoint = endpoint
        self._newest: OrderedDict[str, Task] = OrderedDict()

    def announce(self, task: Task) -> None:
        """Tell everyone on `task:<id>`; called by the worker after each commit."""
        self._remember(task)
        self._endpoint.broadcast(
            task.topic, PROGRESS, progress_payload(task), newest_only=not task.status.is_terminal
        )

    def _remember(self, task: Task) -> None:
        self._newest[task.id] = task
        self._newest.move_to_end(task.id)
        if len(self._newest) > _MAX_REMEMBERED:
            self._newest.popitem(last=False)

    async def read(self, task_id: str) -> Task | None:
        """The task as it is, or None when there is none of this id."""
        return self._newest.get(task_id) or await self._store.get(task_id)

    def newest(self, read: Task) -> Task:
        """What `read` gave, or what was announced since."""
        return self._newest.get(read.id, read)
