"""Tells of rows that cannot be read: once for each task, and never what is in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import structlog

from phoenix_compat.tasks.model.task import Task, TaskEvent

_MAX_REMEMBERED: Final = 1_000

log = structlog.stdlib.get_logger(__name__)


class Unreadable:
    """Remembers which were told of; of more than it can remember, the oldest are told again."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, None] = OrderedDict()

    def note(self, task: Task) -> None:
        """The row of a task has columns that cannot be read."""
        if self._is_new(f"{task.number}"):
            columns, shown_as = list(task.unreadable), task.status.value
            log.error("task.unreadable", task_id=task.id, columns=columns, shown_as=shown_as)

    def note_events(self, events: Iterable[TaskEvent]) -> None:
        """Some of these events may have columns that cannot be read."""
        for event in events:
            if event.unreadable and self._is_new(f"{event.task_id} {event.seq}"):
                columns = [f"events.{name}" for name in event.unreadable]
                log.error("task.unreadable", task_id=event.task_id, columns=columns, seq=event.seq)

    def _is_new(self, key: str) -> bool:
        if key in self._told:
            self._told.move_to_end(key)
            return False
        self._told[key] = None
        if len(self._told) > _MAX_REMEMBERED:
            self._told.popitem(last=False)
        return True
