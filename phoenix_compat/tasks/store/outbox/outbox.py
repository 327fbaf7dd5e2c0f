"""Keeps events of tasks for webhooks, in the transaction that writes the event.

So an event is kept if, and only if, it has happened. Each webhook has a limit. When it is reached,
further events are dropped and counted, because tasks are more important than their webhooks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import structlog

from phoenix_compat.tasks.model.clock import stored_time
from phoenix_compat.tasks.model.task import JSONObject, Task, TaskStatus
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.statements import outbox_queries as queries

EVENTS: Final = frozenset(
    {TaskStatus.QUEUED, TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.FAILED}
)
"""The moves of a task that webhooks can get. Before a create, `submitting` is of no use to them."""
MAX_DELIVERIES: Final = 100_000
_RECOUNTED: Final = 1_000

log = structlog.stdlib.get_logger(__name__)


class Subscription(NamedTuple):
    """The events that a webhook gets."""

    webhook: str
    events: frozenset[str]


class Outbox:
    """Used inside transactions only.

    It counts what a webhook has only when that may be too much. On a shared database it also counts
    after each `_RECOUNTED` events, because other nodes add too; the limit can be passed by so many
    for each node.

    Args:
        document: a task as webhooks get it.
        max_deliveries: how many deliveries are kept for each webhook.
    """

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        document: Callable[[Task], JSONObject],
        max_deliveries: int = MAX_DELIVERIES,
    ) -> None:
        self._subscriptions = tuple(subscriptions)
        self._document = document
        self._max_deliveries = max_deliveries
        # Upper bounds: what was delivered or rolled back is noticed by the next count.
        self._kept = {one.webhook: math.inf for one in subscriptions}
        self._since_count = dict.fromkeys(self._kept, 0)

    async def add(self, transaction: Transaction, task: Task, event: str, at: datetime) -> None:
        """Keep an event for the webhooks that get it.

        Args:
            event: the state that the task has reached; its row in `events` is written.
        """
        webhooks = [one.webhook for one in self._subscriptions if event in one.events]
        if not webhooks:
            return
        ((seq,),) = await transaction.rows(queries.LAST_SEQ, (task.id,))
        now = stored_time(at)
        values = {
            "id": f"evt_{task.id}_{seq}",
            "task_id": task.id,
            "event": str(event),
            "body": _body(event, now, self._document(task)),
            "now": now,
        }
        for webhook in webhooks:
            await self._add(transaction, {**values, "webhook": webhook}, webhook)

    async def _add(self, transaction: Transaction, values: dict[str, object], webhook: str) -> None:
        is_old = transaction.is_shared and self._since_count[webhook] >= _RECOUNTED
        if is_old or self._kept[webhook] >= self._max_deliveries:
            had = self._kept[webhook]
            ((kept,),) = await transaction.rows(queries.COUNT_DELIVERIES, (webhook,))
            self._kept[webhook] = kept
            self._since_count[webhook] = 0
            if kept >= self._max_deliveries:
                if had != kept:  # once for each time that it is full
                    log.error("outgoing.events_dropped", webhook=webhook, kept=kept)
                await transaction.execute(queries.COUNT_DROPPED, values)
                return
        await transaction.execute(queries.ADD_DELIVERY, values)
        self._kept[webhook] += 1
        self._since_count[webhook] += 1


def _body(event: str, at: str, document: JSONObject) -> str:
    body = {"type": f"task.{event}", "timestamp": at, "data": document}
    return msgspec.json.encode(body).decode()
