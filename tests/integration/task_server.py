"""The whole task server in one process, and a client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import listening
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.patience import patient
from tests.wire import PhoenixWire

SPEED = 20.0
"""The emulator runs twenty times faster than real models."""

TERMINAL = {"completed", "failed"}


def settings_for(folder: Path, **fields: Any) -> Settings:
    """Settings of a server whose data directory is `folder`."""
    return Settings(data_dir=folder, **{"emulator_speed": SPEED, **fields})


class Client:
    """Creates tasks and follows them."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    @classmethod
    @asynccontextmanager
    async def of(cls, url: str) -> AsyncIterator[Self]:
        """A client of the server at this URL."""
        async with aiohttp.ClientSession() as http:
            yield cls(url, http)

    async def post(self, prompt: str = "Medieval monk", **inputs: Any) -> str:
        """Create a task; returns its id."""
        task = {"input_data": {"type": "image", "prompt": prompt, **inputs}}
        status, body = await self.request("POST", "/api/tasks", json=task)
        assert status == 202, body
        return str(body["task_id"])

    async def request(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        """Send a request; returns the status and JSON of the response."""
        async with self._http.request(method, self.url + path, **arguments) as answer:
            return answer.status, await answer.json(content_type=None)

    async def watch(self, task_id: str) -> Watch:
        """Join the task's channel on a connection of its own."""
        return await Watch.begin(self.url, task_id)

    async def follow(self, task_id: str) -> list[Mapping[str, Any]]:
        """Every `progress` from the join to the end of the task."""
        watch = await self.watch(task_id)
        return await watch.to_the_end()

    async def ended(self, task_id: str) -> Mapping[str, Any]:
        """The terminal `progress`."""
        return (await self.follow(task_id))[-1]


class Watch:
    """A joined task channel."""

    def __init__(self, wire: PhoenixWire, topic: str) -> None:
        self._wire = wire
        self._topic = topic

    @classmethod
    async def begin(cls, url: str, task_id: str) -> Self:
        """Connect and join."""
        wire = await PhoenixWire.open(url)
        await wire.join(f"task:{task_id}")
        return cls(wire, f"task:{task_id}")

    async def next(self) -> Mapping[str, Any]:
        """The payload of the next `progress`."""
        async with asyncio.timeout(patient(20.0)):
            message = await self._wire.recv()
        join_ref, ref, topic, event, payload = message
        assert (ref, topic, event) == (None, self._topic, "progress"), message
        assert join_ref in {None, "1"}
        return dict(payload)

    async def to_the_end(self) -> list[Mapping[str, Any]]:
        """Every `progress` up to the terminal one."""
        payloads = [await self.next()]
        while payloads[-1]["status"] not in TERMINAL:
            payloads.append(await self.next())
        await self.leave()
        return payloads

    async def leave(self) -> None:
        """Close the connection."""
        await self._wire.close()


@asynccontextmanager
async def product(
    settings: Settings, options: WorkerOptions | None = None
) -> AsyncIterator[Client]:
    """Run a server; yields a client of it."""
    async with (
        open_app(settings, options) as app,
        listening(app, "127.0.0.1", 0) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Client(url, http)
