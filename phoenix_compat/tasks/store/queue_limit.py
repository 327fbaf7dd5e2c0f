"""QueueLimit in the queue: how many tasks may wait."""

from __future__ import annotations

import math
import sqlite3

from phoenix_compat.tasks.model.errors import QueueFullError
from phoenix_compat.tasks.store.sqlite import queries


class QueueLimit:
    """Knows cheaply that the queue has queue limit; counts only when it might be full.

    Used in the writer's thread, inside transactions; one that is undone leaves the guess too high,
    which costs a count and nothing else.
    """

    def __init__(self) -> None:
        self._at_most: float = math.inf

    def take(self, connection: sqlite3.Connection, max_queued: float = math.inf) -> None:
        """Take a place in the queue.

        Raises:
            QueueFullError: all `max_queued` are taken.
        """
        if self._at_most >= max_queued:
            (self._at_most,) = connection.execute(queries.COUNT_QUEUED).fetchone()
            if self._at_most >= max_queued:
                raise QueueFullError(int(max_queued))
        self._at_most += 1
