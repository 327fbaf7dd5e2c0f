"""Limits how many tasks may wait in the queue."""

from __future__ import annotations

import math
import sqlite3

from phoenix_compat.tasks.model.errors import QueueFullError
from phoenix_compat.tasks.store.sqlite import queries


class QueueLimit:
    """Refuses tasks when the queue is full, and counts its rows only when it may be full.

    It remembers an upper bound of the number of queued tasks. A transaction that is rolled back
    leaves the bound too high, which costs one extra count. Used in the writer's thread only, inside
    transactions.
    """

    def __init__(self) -> None:
        self._upper_bound: float = math.inf

    def reserve(self, connection: sqlite3.Connection, max_queued: float = math.inf) -> None:
        """Reserve a place in the queue.

        Raises:
            QueueFullError: `max_queued` tasks are waiting.
        """
        if self._upper_bound >= max_queued:
            (self._upper_bound,) = connection.execute(queries.COUNT_QUEUED).fetchone()
            if self._upper_bound >= max_queued:
                raise QueueFullError(int(max_queued))
        self._upper_bound += 1
