"""Reads what is to be sent to webhooks, and records what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from phoenix_compat.tasks.model.clock import Clock, SystemClock, parse_time, stored_time
from phoenix_compat.tasks.store.database import Row, Transaction
from phoenix_compat.tasks.store.statements import outbox_queries as queries
from phoenix_compat.tasks.store.store import Store

FAILED_RETENTION: Final = timedelta(days=30)
"""How long deliveries that were given up are kept, to be replayed."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that a webhook does not have yet.

    Attributes:
        id: the same at each attempt; receivers recognize repeats by it.
        body: what is sent.
        attempts: how many attempts have failed.
        first_attempt_at: when the first one was; None before it.
    """

    number: int
    webhook: str
    id: str
    task_id: str
    event: str
    body: str
    attempts: int
    first_attempt_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookStatus:
    """How a webhook is doing; times are texts as `stored_time` writes them.

    Attributes:
        delivered: events that it took, ever.
        pending: events that it does not have yet.
        failed: events that were given up; `replay` sends them again.
        dropped: events that were too many to keep, ever.
        oldest_at: when the oldest event happened that it does not have.
        disabled_at: since when nothing is sent to it; None if it is not disabled.
        reason: why it is disabled.
    """

    name: str
    delivered: int = 0
    pending: int = 0
    failed: int = 0
    dropped: int = 0
    oldest_at: str | None = None
    last_success_at: str | None = None
    disabled_at: str | None = None
    reason: str | None = None


class DeliveryStore:
    """The deliveries of all webhooks.

    Args:
        store: any store with the database.
    """

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()

    async def due(
        self, webhook: str, limit: int, running: Collection[int] = ()
    ) -> Sequence[Delivery]:
        """What may be sent now, of each task only the earliest event; nothing while it is disabled.

        Args:
            running: the numbers of those that are being sent.
        """
        params = {
            "webhook": webhook,
            "now": self._now,
            "limit": limit,
            "running": json.dumps(sorted(running)),
        }
        rows = await self._store.database.read(queries.DUE_DELIVERIES, params)
        return [_delivery(row) for row in rows]

    async def next_due(self, webhook: str) -> datetime | None:
        """When the next delivery may be sent that may not be sent yet; None if there is none."""
        params = {"webhook": webhook, "now": self._now}
        ((at,),) = await self._store.database.read(queries.NEXT_DELIVERY, params)
        return None if at is None else parse_time(at)

    async def delivered(self, delivery: Delivery) -> None:
        """Forget a delivery that arrived. Raises StoreUnavailableError."""
        await self._write(
            delivery, queries.DELETE_DELIVERY, queries.FREE_NEXT, queries.RECORD_SUCCESS
        )

    async def retry_later(
        self, delivery: Delivery, error: str, attempted_at: datetime, next_attempt_at: datetime
    ) -> None:
        """Record a failed attempt. Raises StoreUnavailableError."""
        times = {
            "attempted_at": stored_time(attempted_at),
            "next_attempt_at": stored_time(next_attempt_at),
        }
        await self._write(delivery, queries.RETRY_DELIVERY, error=error, **times)

    async def give_up(self, delivery: Delivery, error: str, reason: str, since: datetime) -> bool:
        """Record that the last attempt failed, and disable the webhook if nothing else arrives.

        Args:
            reason: why it is disabled.
            since: the webhook is disabled if it has taken nothing since then.

        Returns:
            Whether it was disabled.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        values = {**self._values(delivery), "error": error}
        disable = {**values, "reason": reason, "since": stored_time(since)}

        async def work(transaction: Transaction) -> bool:
            await transaction.execute(queries.GIVE_UP_DELIVERY, values)
            await transaction.execute(queries.FREE_NEXT, values)
            return await transaction.execute(queries.DISABLE_SILENT_WEBHOOK, disable) == 1

        return await self._store.database.write(work)

    async def disable(self, delivery: Delivery, error: str, reason: str) -> None:
        """Give a delivery up, and send nothing to its webhook any more.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        values = {"error": error, "reason": reason}
        statements = (queries.GIVE_UP_DELIVERY, queries.FREE_NEXT, queries.DISABLE_WEBHOOK)
        await self._write(delivery, *statements, **values)

    async def replay(self, webhook: str) -> int:
        """Enable a webhook, and send everything that it does not have; returns how many events.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        values = {"webhook": webhook, "now": self._now}

        async def work(transaction: Transaction) -> int:
            await transaction.execute(queries.ENABLE_WEBHOOK, values)
            return await transaction.execute(queries.REPLAY_DELIVERIES, values)

        return await self._store.database.write(work)

    async def statuses(self, names: Collection[str]) -> Sequence[WebhookStatus]:
        """How these webhooks are doing, and all others for which something is kept."""
        found: dict[str, dict[str, Any]] = {name: {"name": name} for name in sorted(names)}
        for row in await self._store.database.read(queries.GET_WEBHOOKS):
            if row["name"] in found or row["disabled_at"] is not None:
                found.setdefault(row["name"], {}).update(dict(row))
        for row in await self._store.database.read(queries.SUM_DELIVERIES):
            sums = {key: row[key] for key in ("pending", "failed", "oldest_at")}
            found.setdefault(row["webhook"], {"name": row["webhook"]}).update(sums)
        return [WebhookStatus(**values) for values in found.values()]

    async def list(self, webhook: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """The oldest deliveries of a webhook, without their bodies."""
        params = {"webhook": webhook, "limit": limit}
        rows = await self._store.database.read(queries.LIST_DELIVERIES, params)
        return [dict(row) for row in rows]

    async def forget_old(self, names: Collection[str]) -> int:
        """Delete old deliveries that were given up, or whose webhook has another name.

        Args:
            names: the webhooks of the settings.

        Returns:
            How many were deleted.

        Raises:
            StoreUnavailableError: nothing was deleted.
        """
        params = {
            "before": stored_time(self._clock.now() - FAILED_RETENTION),
            "webhooks": json.dumps(sorted(names)),
        }
        return await self._store.database.write(
            lambda transaction: transaction.execute(queries.FORGET_DELIVERIES, params)
        )

    @property
    def _now(self) -> str:
        return stored_time(self._clock.now())

    def _values(self, delivery: Delivery) -> dict[str, object]:
        return {
            "number": delivery.number,
            "id": delivery.id,
            "webhook": delivery.webhook,
            "task_id": delivery.task_id,
            "now": self._now,
        }

    async def _write(self, delivery: Delivery, *statements: str, **more: str) -> None:
        values = {**self._values(delivery), **more}

        async def work(transaction: Transaction) -> None:
            for statement in statements:
                await transaction.execute(statement, values)

        await self._store.database.write(work)


def _delivery(row: Row) -> Delivery:
    first = row["first_attempt_at"]
    return Delivery(
        number=row["number"],
        webhook=row["webhook"],
        id=row["id"],
        task_id=row["task_id"],
        event=row["event"],
        body=row["body"],
        attempts=row["attempts"],
        first_attempt_at=None if first is None else parse_time(first),
    )
