"""Broadcasts the changes of tasks to their clients, and knows the present state of each."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.tasks.model.task import Task, progress_payload
from phoenix_compat.tasks.store.task_store import TaskStore

PROGRESS: Final = "progress"
"""The one event of a task's channel."""

_MAX_NEWEST: Final = 10_000


class TaskFeed:
    """Broadcasts changes of tasks, and remembers the newest state of each task.

    A client that joins must not get a state older than one it was already sent. A state read from
    the store can be outdated by the time it arrives. A remembered state cannot, because it is
    stored and broadcast in the same step of the event loop.
    """

    def __init__(self, store: TaskStore, endpoint: Endpoint) -> None:
        self._store = store
        self._endpoint = endpoint
        self._newest: OrderedDict[str, Task] = OrderedDict()

    def announce(self, task: Task) -> None:
        """Broadcast a change on `task:<id>`; the worker calls this after each commit."""
        self._remember(task)
        self._endpoint.broadcast(
            task.topic, PROGRESS, progress_payload(task), newest_only=not task.status.is_terminal
        )

    def _remember(self, task: Task) -> None:
        self._newest[task.id] = task
        self._newest.move_to_end(task.id)
        if len(self._newest) > _MAX_NEWEST:
            self._newest.popitem(last=False)

    async def read(self, task_id: str) -> Task | None:
        """The present state of a task, or None if it does not exist."""
        return self._newest.get(task_id) or await self._store.get(task_id)

    def newest(self, read: Task) -> Task:
        """The newest state: the one that `read` returned, or one that was announced since."""
        return self._newest.get(read.id, read)
