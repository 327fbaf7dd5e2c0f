"""Limits how many tasks may wait in the queue."""

from __future__ import annotations

import math
import sqlite3
from typing import Final

from phoenix_compat.tasks.model.errors import QueueFullError
from phoenix_compat.tasks.store.sqlite import queue_queries

SHARES: Final = 100
"""While the queue is full, an owner may still have this part of it: one of 10 000 tasks in 100."""
_HARD_LIMIT: Final = 2
"""The queue never has more than this many times its limit."""


class QueueLimit:
    """Refuses tasks when the queue is full, and counts its rows only when it may be full.

    One owner must not keep all others out. So while the queue is full, an owner with few tasks in
    it can add more, until the owner has its share or the queue is twice as long as its limit.

    It remembers an upper bound of the number of queued tasks. A transaction that is rolled back
    leaves the bound too high, which costs one extra count. Used in the writer's thread only, inside
    transactions.
    """

    def __init__(self) -> None:
        self._upper_bound: float = math.inf

    def reserve(
        self, connection: sqlite3.Connection, max_queued: float = math.inf, owner: str = ""
    ) -> None:
        """Reserve a place in the queue.

        Raises:
            QueueFullError: `max_queued` tasks are waiting, and enough of them are the owner's.
        """
        if self._upper_bound >= max_queued:
            (self._upper_bound,) = connection.execute(queue_queries.COUNT_QUEUED).fetchone()
            if self._upper_bound >= max_queued and not self._has_share(
                connection, int(max_queued), owner
            ):
                raise QueueFullError(int(max_queued))
        self._upper_bound += 1

    def _has_share(self, connection: sqlite3.Connection, max_queued: int, owner: str) -> bool:
        """Whether a full queue has room for one more task of this owner."""
        share = max_queued // SHARES
        if self._upper_bound >= max_queued * _HARD_LIMIT:
            return False
        params = {"owner": owner, "limit": share}
        (queued,) = connection.execute(queue_queries.COUNT_QUEUED_OF_OWNER, params).fetchone()
        return int(queued) < share
