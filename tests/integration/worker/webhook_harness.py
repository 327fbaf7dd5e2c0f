"""A workshop that is reported to: the route of the webhooks on a real port, before a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from phoenix_compat.emulator import Emulator
from phoenix_compat.server.http.webhooks import WEBHOOK_PATH, WebhookRoute
from phoenix_compat.tasks.provider.replicate import ReplicateProvider
from phoenix_compat.tasks.provider.webhooks import WebhookInbox
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from tests.integration.worker.worker_harness import FAST, Workshop, open_workshop
from tests.patience import patient
from tests.serving import serving

TOKEN = "r8_made_up"
BLIND = WorkerOptions(
    reconcile_waits_s=(60.0,), poll=PollIntervals(first_s=60.0, limit_s=60.0, reported_s=60.0)
)
"""Looks come after the test's end: what happens before is due to webhooks."""
LOOKING = WorkerOptions(poll=PollIntervals(first_s=0.05, limit_s=0.05, reported_s=0.2))


class Scene:
    """A workshop that is reported to, and what its route answered."""

    def __init__(self, emulator: Emulator) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.statuses_after_the_end: list[int] = []
        self._emulator = emulator
        self._workshop: Workshop | None = None
        self._provider: ReplicateProvider | None = None
        self._route: WebhookRoute | None = None
        self._changed = asyncio.Event()

    def open(self, workshop: Workshop, provider: ReplicateProvider) -> None:
        """Let webhooks in from now on."""
        self._workshop, self._provider = workshop, provider
        inbox = WebhookInbox(provider.webhook_secret)
        self._route = WebhookRoute(workshop.worker, provider.tags, inbox)

    @property
    def workshop(self) -> Workshop:
        assert self._workshop is not None
        return self._workshop

    def address(self, task_id: str) -> str:
        """Where the provider reports about a task."""
        assert self._provider is not None
        return f"{self.url}?task={task_id}&tag={self._provider.tags.tag(task_id)}"

    async def receive(self, request: web.Request) -> web.Response:
        """The route, with its answers noted."""
        assert self._route is not None
        is_over = any(one.event == "completed" for one in self._emulator.state.deliveries)
        response = await self._route.receive(request)
        self.statuses.append(response.status)
        if is_over:
            self.statuses_after_the_end.append(response.status)
        self._changed.set()
        return response

    async def answered(self) -> list[int]:
        """Wait for a webhook; what all were answered."""
        return await self._some(self.statuses)

    async def answered_after_the_end(self) -> list[int]:
        """Wait for a webhook that comes after the terminal one; what such were answered."""
        return await self._some(self.statuses_after_the_end)

    async def _some(self, statuses: list[int]) -> list[int]:
        async with asyncio.timeout(patient(10)):
            while not statuses:
                self._changed.clear()
                await self._changed.wait()
        return statuses


@asynccontextmanager
async def reported(
    path: Path, emulator: Emulator, options: WorkerOptions = FAST, *, token: str = TOKEN
) -> AsyncIterator[Scene]:
    app = web.Application()
    scene = Scene(emulator)
    app.router.add_post(WEBHOOK_PATH, scene.receive)
    async with serving(app) as base_url:
        scene.url = base_url + WEBHOOK_PATH
        provider = ReplicateProvider(
            token=token,
            base_url=emulator.base_url,
            webhook_url=scene.url,
            read_timeout_s=patient(0.5),
            total_timeout_s=patient(1.0),
        )
        try:
            async with open_workshop(path, provider, options=options) as workshop:
                scene.open(workshop, provider)
                yield scene
        finally:
            await provider.close()
