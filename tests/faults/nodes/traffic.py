"""Apps at work: they create tasks, repeat what was not answered, and watch until the end."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp

from tests.faults.app_client import AppClient

TOPICS: Final = 90
"""The most tasks that one app watches: a socket joins at most 100 topics."""
_RETRY_S: Final = 0.25

# Without 429: all nodes would learn to send a few creates a minute, which is right and takes hours.
_FAULTS: Final = (
    *("", "", "", "", "reset_afterx1", "502_afterx1", "hang_afterx1", "slow_answerx1"),
    *("poll_500x1", "poll_resetx2", "reset_afterx1 list_lag"),
)


@dataclass(slots=True)
class Posted:
    """A task that an app has posted.

    Attributes:
        repeats: how often the post was sent again.
        answers: the statuses that were not 202; 0 for a connection that ended.
    """

    prompt: str
    key: str
    task_id: str | None = None
    repeats: int = 0


class Traffic:
    """All apps.

    Attributes:
        posted: all tasks.
        refusals: the statuses of answers other than 202, and 0 for no answer.
        slowest_refusal_s: how long the slowest 503 took.
        without_retry_after: how many of them did not say when to repeat the post.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
        self.posted: list[Posted] = []
        self.refusals: Counter[int] = Counter()
        self.slowest_refusal_s = 0.0
        self.without_retry_after = 0
        self.apps: list[AppClient] = []
        self._http = http
        self._url = url
        self._rng = rng
        self._running: list[asyncio.Task[None]] = []

    async def post(self, count: int, rate: float) -> None:
        """Post tasks at this rate a second; returns once each has its 202."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(began_s + number / rate - loop.time())
                group.create_task(self._post_one())

    async def _post_one(self) -> None:
        rng = self._rng
        fault = rng.choice(_FAULTS)
        text = "".join(f" #fault:{one}" for one in fault.split())
        posted = Posted(f"monk {uuid.UUID(int=rng.getrandbits(128))}{text}", f"{uuid.uuid4()}")
        self.posted.append(posted)
        while (task_id := await self._answer(posted)) is None:
            posted.repeats += 1
            await asyncio.sleep(_RETRY_S)
        posted.task_id = task_id
        await self._app().watch(task_id)

    async def _answer(self, posted: Posted) -> str | None:
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        body = {"input_data": {"type": "image", "prompt": posted.prompt}}
        headers = {"Idempotency-Key": posted.key}
        try:
            async with self._http.post(
                f"{self._url}/api/tasks", json=body, headers=headers
            ) as answer:
                if answer.status == 202:
                    return str((await answer.json())["task_id"])
                status = answer.status
                if status == 503 and "Retry-After" not in answer.headers:
                    self.without_retry_after += 1
        except (aiohttp.ClientError, OSError):
            status = 0
        self.refusals[status] += 1
        if status == 503:
            self.slowest_refusal_s = max(self.slowest_refusal_s, loop.time() - sent_s)
        return None

    def _app(self) -> AppClient:
        """The app that watches the next task."""
        if not self.apps or len(self.apps[-1].received) >= TOPICS:
            self.apps.append(AppClient(self._http, self._url))
            self._running.append(asyncio.create_task(self.apps[-1].run()))
        return self.apps[-1]

    async def all_ended(self) -> None:
        """Wait until each task has ended for the app that watches it."""
        await asyncio.gather(*(app.all_ended() for app in self.apps))

    async def stop(self) -> None:
        """Close the apps."""
        for one in self._running:
            one.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@asynccontextmanager
async def open_traffic(
    http: aiohttp.ClientSession, url: str, rng: random.Random
) -> AsyncIterator[Traffic]:
    """Apps, which are closed when the block ends."""
    traffic = Traffic(http, url, rng)
    try:
        yield traffic
    finally:
        await traffic.stop()


def without_end(apps: Sequence[AppClient]) -> list[str]:
    """The tasks whose end an app has not received."""
    return [task_id for app in apps for task_id in app.unfinished]
