"""A store whose events go to a receiver, in hurried time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.model.task import Task, TaskStatus, task_list_entry
from phoenix_compat.tasks.outgoing.dispatcher import WebhookDispatcher
from phoenix_compat.tasks.outgoing.sender import Webhook, WebhookSender
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.outbox.deliveries import DeliveryStore, WebhookStatus
from phoenix_compat.tasks.store.outbox.outbox import EVENTS, Outbox, Subscription
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.outgoing.receiver import SECRET
from tests.integration.store.stored_tasks import moved
from tests.integration.worker.worker_harness import SCHEMA, task_params

TIMEOUT_S = 0.25
"""How long receivers may take, in real time."""
WHOLE_LIFE = (TaskStatus.SUBMITTING, TaskStatus.RUNNING, TaskStatus.COMPLETED)


class HurriedClock(SystemClock):
    """A clock that runs faster.

    Attributes:
        elapsed_s: how far it has moved.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._began_s = time.monotonic()
        self._began_at = datetime.now(UTC)

    @property
    def elapsed_s(self) -> float:
        """How far it has moved, in its own time."""
        return (time.monotonic() - self._began_s) * self._factor

    def now(self) -> datetime:
        """The hurried wall time."""
        return self._began_at + timedelta(seconds=self.elapsed_s)

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Wait for an event in hurried time."""
        return await super().wait(event, None if timeout_s is None else timeout_s / self._factor)


@dataclass
class Outgoing:
    """The parts."""

    store: TaskStore
    deliveries: DeliveryStore
    dispatcher: WebhookDispatcher
    clock: HurriedClock

    async def live(self, *statuses: TaskStatus) -> Task:
        """Add a task, and move it through its life."""
        task = await self.store.add(task_params())
        task = await moved(self.store, task, *(statuses or WHOLE_LIFE))
        self.dispatcher.wake()
        return task

    async def status(self) -> WebhookStatus:
        """How the webhook is doing."""
        return (await self.dispatcher.statuses())[0]


@asynccontextmanager
async def open_outgoing(
    path: Path,
    url: str,
    *,
    factor: float = 600.0,
    events: frozenset[str] = frozenset(EVENTS),
    is_started: bool = True,
    max_deliveries: int = 1_000,
    **fields: Any,
) -> AsyncIterator[Outgoing]:
    """Open a store with one webhook, and begin to deliver."""
    clock = HurriedClock(factor)
    webhook = Webhook(
        **{
            "name": "default",
            "url": url,
            "secret": SecretStr(SECRET),
            "events": events,
            "allow_private": True,
            **fields,
        }
    )
    async with await open_task_store(path, SCHEMA, clock=clock) as store:
        store.outbox = Outbox(
            [Subscription(webhook.name, webhook.events)],
            partial(task_list_entry, base_url="https://a.example", with_owner=True),
            max_deliveries,
        )
        deliveries = DeliveryStore(store, clock)
        dispatcher = WebhookDispatcher(
            [webhook],
            deliveries,
            clock=clock,
            make_sender=partial(WebhookSender, timeout_s=TIMEOUT_S),
        )
        if is_started:
            dispatcher.start()
        try:
            yield Outgoing(store, deliveries, dispatcher, clock)
        finally:
            await dispatcher.stop()
