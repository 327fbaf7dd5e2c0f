"""A worker harness with the webhook route on a real port, so that the emulator reports to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from phoenix_compat.emulator import Emulator
from phoenix_compat.server.http.webhooks import WEBHOOK_PATH, WebhookRoute
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from phoenix_compat.tasks.provider.webhooks import WebhookVerifier
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from tests.integration.worker.worker_harness import FAST, WorkerHarness, open_worker_harness
from tests.patience import patient
from tests.serving import serving

TOKEN = "r8_made_up"
WEBHOOKS_ONLY = WorkerOptions(
    reconcile_waits_s=(60.0,), poll=PollIntervals(first_s=60.0, limit_s=60.0, reported_s=60.0)
)
"""No poll or lookup is due before the test ends, so that everything is due to webhooks."""
FAST_POLLS = WorkerOptions(poll=PollIntervals(first_s=0.05, limit_s=0.05, reported_s=0.2))


class WebhookHarness:
    """A worker harness and the webhook route in front of it.

    Attributes:
        url: the address of the route.
        statuses: the HTTP statuses that the route answered with.
        statuses_after_the_end: those that it answered after the webhook of the completed
            prediction.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.statuses_after_the_end: list[int] = []
        self._emulator = emulator
        self._harness: WorkerHarness | None = None
        self._provider: ReplicateProvider | None = None
        self._route: WebhookRoute | None = None
        self._changed = asyncio.Event()

    def open(self, harness: WorkerHarness, provider: ReplicateProvider) -> None:
        """Pass webhooks to this worker from now on."""
        self._harness, self._provider = harness, provider
        inbox = WebhookVerifier(provider.webhook_secret)
        self._route = WebhookRoute(harness.worker, provider.tags, inbox)

    @property
    def harness(self) -> WorkerHarness:
        """The worker harness."""
        assert self._harness is not None
        return self._harness

    def address(self, task_id: str) -> str:
        """The URL at which the provider reports on a task."""
        assert self._provider is not None
        return f"{self.url}?task={task_id}&tag={self._provider.tags.tag(task_id)}"

    async def receive(self, request: web.Request) -> web.Response:
        """Answer with the route, and record the status."""
        assert self._route is not None
        is_over = any(one.event == "completed" for one in self._emulator.state.deliveries)
        response = await self._route.receive(request)
        self.statuses.append(response.status)
        if is_over:
            self.statuses_after_the_end.append(response.status)
        self._changed.set()
        return response

    async def answered(self) -> list[int]:
        """Wait until a webhook was answered; returns `statuses`."""
        return await self._first(self.statuses)

    async def answered_after_the_end(self) -> list[int]:
        """Wait until a late webhook was answered; returns `statuses_after_the_end`."""
        return await self._first(self.statuses_after_the_end)

    async def _first(self, statuses: list[int]) -> list[int]:
        async with asyncio.timeout(patient(10)):
            while not statuses:
                self._changed.clear()
                await self._changed.wait()
        return statuses


@asynccontextmanager
async def open_webhook_harness(
    path: Path, emulator: Emulator, options: WorkerOptions = FAST, *, token: str = TOKEN
) -> AsyncIterator[WebhookHarness]:
    """Serve the route and run a worker whose creates name it; both are closed at the end."""
    app = web.Application()
    webhooks = WebhookHarness(emulator)
    app.router.add_post(WEBHOOK_PATH, webhooks.receive)
    async with serving(app) as base_url:
        webhooks.url = base_url + WEBHOOK_PATH
        provider = ReplicateProvider(
            token=token,
            base_url=emulator.base_url,
            webhook_url=webhooks.url,
            read_timeout_s=patient(0.5),
            total_timeout_s=patient(1.0),
        )
        try:
            async with open_worker_harness(path, provider, options=options) as harness:
                webhooks.open(harness, provider)
                yield webhooks
        finally:
            await provider.close()
