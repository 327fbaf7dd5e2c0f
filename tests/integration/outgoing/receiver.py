"""A receiver of webhooks that verifies what it gets, and fails as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Self

from aiohttp import web
from standardwebhooks import Webhook

from tests.faults.server_process import free_port
from tests.patience import patient

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Received(NamedTuple):
    """An event that was received with the right signature."""

    id: str
    type: str
    task_id: str
    data: Any
    timestamp: str = ""


class Receiver:
    """The receiver, on a port that stays the same.

    Attributes:
        events: what it has taken.
        attempts: all requests, also those that it did not take.
        answer: the status; 0 to hang.
    """

    def __init__(self) -> None:
        self.events: list[Received] = []
        self.attempts = 0
        self.answer: Callable[[Received], int] = lambda _event: 204
        self.headers: dict[str, str] = {}
        self._verifier = Webhook(SECRET)
        self._port = free_port()
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        """Where events are to be sent."""
        return f"http://127.0.0.1:{self._port}/hooks?source=tasks"

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator[Self]:
        """A receiver that listens."""
        receiver = cls()
        await receiver.open()
        try:
            yield receiver
        finally:
            await receiver.close()

    async def open(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/hooks", self._receive)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def close(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until a condition on what was received is true."""
        async with asyncio.timeout(patient(timeout_s)):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def of_task(self, task_id: str) -> list[str]:
        """The types of the events of a task, in the order in which they came, repeats left out."""
        seen = dict.fromkeys((one.id, one.type) for one in self.events if one.task_id == task_id)
        return [kind for _, kind in seen]

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.text()
        event = self._verifier.verify(body, dict(request.headers))
        received = Received(
            request.headers["webhook-id"],
            event["type"],
            event["data"]["task_id"],
            event["data"],
            event["timestamp"],
        )
        self.attempts += 1
        self._changed.set()
        status = self.answer(received)
        if not status:
            await asyncio.sleep(patient(60.0))
        if 200 <= status < 300:
            self.events.append(received)
        return web.Response(status=status, headers=self.headers)
