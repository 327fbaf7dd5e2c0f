"""Limits how many tasks may wait in the queue."""

from __future__ import annotations

import math
import time
from typing import Final

from phoenix_compat.tasks.model.errors import QueueFullError
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.statements import queue_queries

SHARES: Final = 100
"""While the queue is full, an owner may still have this part of it: one of 10 000 tasks in 100."""
COUNTED_FOR_S: Final = 1.0
"""How long a count is used on a database that other nodes write too, in seconds."""
_HARD_LIMIT: Final = 2
"""The queue never has more than this many times its limit."""


class QueueLimit:
    """Refuses tasks when the queue is full, and counts its rows only when it may be full.

    One owner must not keep all others out. So while the queue is full, an owner with few tasks in
    it can add more, until the owner has its share or the queue is twice as long as its limit.

    It remembers an upper bound of the number of queued tasks. A transaction that is rolled back
    leaves the bound too high, which costs one extra count. On a shared database it counts again
    after `COUNTED_FOR_S`, so the queue may get longer by what other nodes add within that time.
    Used inside transactions only.
    """

    def __init__(self) -> None:
        self._upper_bound: float = math.inf
        self._counted_at_s = -math.inf

    async def reserve(
        self, transaction: Transaction, max_queued: float = math.inf, owner: str = ""
    ) -> None:
        """Reserve a place in the queue.

        Raises:
            QueueFullError: `max_queued` tasks are waiting, and enough of them are the owner's.
        """
        if self._upper_bound >= max_queued or (
            transaction.is_shared and time.monotonic() > self._counted_at_s + COUNTED_FOR_S
        ):
            ((self._upper_bound,),) = await transaction.rows(queue_queries.COUNT_QUEUED)
            self._counted_at_s = time.monotonic()
            if self._upper_bound >= max_queued and not await self._has_share(
                transaction, int(max_queued), owner
            ):
                raise QueueFullError(int(max_queued))
        self._upper_bound += 1

    async def _has_share(self, transaction: Transaction, max_queued: int, owner: str) -> bool:
        """Whether a full queue has room for one more task of this owner."""
        share = max_queued // SHARES
        if self._upper_bound >= max_queued * _HARD_LIMIT:
            return False
        params = {"owner": owner, "limit": share}
        ((queued,),) = await transaction.rows(queue_queries.COUNT_QUEUED_OF_OWNER, params)
        return int(queued) < share
