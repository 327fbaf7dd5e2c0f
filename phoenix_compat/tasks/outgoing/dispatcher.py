"""Delivers events to webhooks: at least once, and in order for each task.

Each webhook has a background task of its own, and up to `CONCURRENCY` deliveries at once. Of each
task only the earliest event is under delivery, so the next one waits until it has arrived or was
given up. A delivery that failed is tried again for a day. Then it is given up; and if the webhook
took nothing in that day, it is disabled until the operator replays it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from phoenix_compat.background import BackgroundTask, log_failure
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.outgoing.backoff import next_attempt
from phoenix_compat.tasks.outgoing.counts import OutgoingCounts
from phoenix_compat.tasks.outgoing.sender import Outcome, Webhook, WebhookSender
from phoenix_compat.tasks.store.outbox.deliveries import Delivery, DeliveryStore, WebhookStatus

CONCURRENCY: Final = 8
POLL_S: Final = 1.0
"""How long an event waits at most that `wake` was not called for."""
_STORE_RETRY_S: Final = 1.0
_AFTER_A_BUG_S: Final = 60.0
_FORGET_EVERY: Final = timedelta(hours=1)

log = structlog.stdlib.get_logger(__name__)


class WebhookDispatcher:
    """Delivers to all webhooks, in the process that has the database.

    Args:
        make_sender: makes the sender of a webhook; for tests.
        poll_s: see POLL_S.

    Attributes:
        counts: see OutgoingCounts.
        deliveries: what is kept for webhooks.
    """

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        deliveries: DeliveryStore,
        *,
        clock: Clock | None = None,
        make_sender: Callable[[Webhook], WebhookSender] = WebhookSender,
        poll_s: float = POLL_S,
    ) -> None:
        self.counts = OutgoingCounts()
        self.deliveries = deliveries
        self._clock = clock or SystemClock()
        self._queues = {
            webhook.name: _WebhookQueue(
                webhook.name,
                make_sender(webhook),
                deliveries,
                clock=self._clock,
                counts=self.counts,
                poll_s=poll_s,
            )
            for webhook in webhooks
        }
        self._never = asyncio.Event()
        self._forgetting = BackgroundTask("webhooks-forget", self._forget_old)

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The task of each webhook, and the one that deletes old deliveries."""
        return (self._forgetting, *(queue.background for queue in self._queues.values()))

    def start(self) -> None:
        """Begin to deliver."""
        for task in self.background:
            task.start()

    async def stop(self) -> None:
        """Stop. What was not confirmed is sent again after the next start."""
        for task in self.background:
            await task.stop()
        for queue in self._queues.values():
            await queue.sender.close()

    def wake(self) -> None:
        """Look for new events now. Without webhooks this does nothing."""
        for queue in self._queues.values():
            queue.wake.set()

    async def statuses(self) -> Sequence[WebhookStatus]:
        """How the webhooks are doing. Raises StoreUnavailableError."""
        return await self.deliveries.statuses(self._queues)

    async def _forget_old(self) -> None:
        while True:
            try:
                await self.deliveries.forget_old(self._queues)
            except StoreUnavailableError as error:
                log.debug("outgoing.store_unavailable", reason=str(error))
            await self._clock.wait(self._never, _FORGET_EVERY.total_seconds())


class _WebhookQueue:
    """The deliveries of one webhook."""

    def __init__(  # noqa: PLR0913 - its collaborators, given by the dispatcher
        self,
        name: str,
        sender: WebhookSender,
        deliveries: DeliveryStore,
        *,
        clock: Clock,
        counts: OutgoingCounts,
        poll_s: float,
    ) -> None:
        self.sender = sender
        self.wake = asyncio.Event()
        self.background = BackgroundTask(f"webhook-{name}", self._run)
        self._name = name
        self._deliveries = deliveries
        self._clock = clock
        self._counts = counts
        self._poll_s = poll_s
        self._is_failing = False

    async def _run(self) -> None:
        running: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                self.wake.clear()
                try:
                    wait_s = await self._start_due(running)
                except StoreUnavailableError as error:
                    log.debug("outgoing.store_unavailable", reason=str(error))
                    wait_s = _STORE_RETRY_S
                await self._clock.wait(self.wake, wait_s)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def _start_due(self, running: dict[int, asyncio.Task[None]]) -> float:
        """Start what is due; returns how long to wait for more."""
        free = CONCURRENCY - len(running)
        for delivery in await self._deliveries.due(self._name, free, running) if free else ():
            task = asyncio.create_task(self._deliver(delivery), name=f"webhook {delivery.id}")
            running[delivery.number] = task
            task.add_done_callback(self._ended(running, delivery.number))
        next_at = await self._deliveries.next_due(self._name)
        if next_at is None:
            return self._poll_s
        wait_s = (next_at - self._clock.now()).total_seconds()
        return min(max(wait_s, 0.0), self._poll_s)

    def _ended(
        self, running: dict[int, asyncio.Task[None]], number: int
    ) -> Callable[[asyncio.Task[None]], None]:
        def forget() -> None:
            running.pop(number, None)
            self.wake.set()

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled() or task.exception() is None:
                forget()
            else:  # a bug, which would only come again at once
                log_failure(task)
                task.get_loop().call_later(_AFTER_A_BUG_S, forget)

        return ended

    async def _deliver(self, delivery: Delivery) -> None:
        attempted_at = self._clock.now()
        outcome = await self.sender.send(delivery)
        if outcome.error is None:
            self._counts.delivered += 1
            await self._store(lambda: self._deliveries.delivered(delivery))
            self._succeeded()
            return
        self._counts.failed_attempts += 1
        self._failed(outcome)
        if outcome.is_gone:
            reason = "the receiver wants no more events: it answered 410"
            self._counts.given_up += 1
            await self._store(
                lambda: self._deliveries.disable(delivery, outcome.error or "", reason)
            )
            log.error("outgoing.disabled", webhook=self._name, reason=reason)
            return
        first_at = delivery.first_attempt_at or attempted_at
        now = self._clock.now()
        next_at = next_attempt(
            delivery.attempts + 1,
            first_at,
            now,
            spread=random.random(),  # noqa: S311 - no secret
            least_s=outcome.retry_after_s,
        )
        if next_at is None:
            await self._give_up(delivery, outcome)
            return
        await self._store(
            lambda: self._deliveries.retry_later(delivery, outcome.error or "", first_at, next_at)
        )

    async def _give_up(self, delivery: Delivery, outcome: Outcome) -> None:
        self._counts.given_up += 1
        error = outcome.error or ""
        reason = f"it took no event for a day; the last attempt: {error}"
        since = delivery.first_attempt_at or self._clock.now()
        disabled: list[bool] = []

        async def give_up() -> None:
            disabled.append(await self._deliveries.give_up(delivery, error, reason, since))

        await self._store(give_up)
        log.warning("outgoing.given_up", webhook=self._name, id=delivery.id, reason=error)
        if disabled[-1]:
            log.error("outgoing.disabled", webhook=self._name, reason=reason)

    async def _store(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write what became of an attempt; while that fails, the delivery counts as running."""
        while True:
            try:
                await write()
            except StoreUnavailableError as error:
                log.debug("outgoing.store_unavailable", reason=str(error))
                await asyncio.sleep(_STORE_RETRY_S)
            else:
                return

    def _failed(self, outcome: Outcome) -> None:
        """Log the first failure; a receiver that is down would otherwise fill the log."""
        if not self._is_failing:
            self._is_failing = True
            log.warning("outgoing.failing", webhook=self._name, reason=outcome.error)

    def _succeeded(self) -> None:
        if self._is_failing:
            self._is_failing = False
            log.info("outgoing.recovered", webhook=self._name)
