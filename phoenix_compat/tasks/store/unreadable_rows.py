"""Logs rows that cannot be read: each row once, without its values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import structlog

from phoenix_compat.tasks.model.task import Task, TaskEvent

_MAX_REMEMBERED: Final = 1_000

log = structlog.stdlib.get_logger(__name__)


class UnreadableRowReporter:
    """Logs each unreadable row once.

    It remembers a limited number of rows; the oldest are forgotten and may be logged again.
    """

    def __init__(self) -> None:
        self._reported: OrderedDict[str, None] = OrderedDict()

    def report(self, task: Task) -> None:
        """Log the row of a task if it has unreadable columns."""
        if task.unreadable and self._is_new(f"{task.number}"):
            columns, shown_as = list(task.unreadable), task.status.value
            log.error("task.unreadable", task_id=task.id, columns=columns, shown_as=shown_as)

    def report_events(self, events: Iterable[TaskEvent]) -> None:
        """Log those of these events that have unreadable columns."""
        for event in events:
            if event.unreadable and self._is_new(f"{event.task_id} {event.seq}"):
                columns = [f"events.{name}" for name in event.unreadable]
                log.error("task.unreadable", task_id=event.task_id, columns=columns, seq=event.seq)

    def _is_new(self, key: str) -> bool:
        if key in self._reported:
            self._reported.move_to_end(key)
            return False
        self._reported[key] = None
        if len(self._reported) > _MAX_REMEMBERED:
            self._reported.popitem(last=False)
        return True
