"""The task server with all its routes, whose answers are checked against the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import listening
from tests.integration.openapi.contract import check_answer
from tests.integration.ownership.credentials import auth_settings, store_keys
from tests.integration.task_server import SPEED, settings_for
from tests.patience import patient

MONK: Final = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
TASK: Final = "/api/tasks/{task_id}"


@dataclass
class Server:
    """The task server with all its routes."""

    app: web.Application
    url: str
    http: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, *, id: str = "", status: int, query: str = "", **more: Any
    ) -> Any:
        """Send a request; checks the answer against the document, and returns its JSON."""
        url = self.url + path.replace("{task_id}", id).replace("{name}", id) + query
        async with self.http.request(method, url, **more) as answer:
            assert answer.status == status, await answer.text()
            return await check_answer(answer, method, path)

    async def create(self, body: Any) -> str:
        """Create a task; returns its id."""
        return str((await self.ask("POST", "/api/tasks", json=body, status=202))["task_id"])

    async def end(self, body: Any) -> str:
        """Create a task and wait for its end; returns its id."""
        task_id = await self.create(body)
        async with asyncio.timeout(patient(20.0)):
            while True:
                task = await self.ask("GET", TASK, id=task_id, status=200)
                if task["status"] != "processing":
                    return task_id
                await asyncio.sleep(0.05)


@asynccontextmanager
async def open_server(
    folder: Path, keys: Mapping[str, frozenset[Scope]] | None = None
) -> AsyncIterator[Server]:
    """The server with a provider, so that it has the route of webhooks.

    Args:
        keys: the API keys, by their names; None for no authentication.
    """
    fields = {} if keys is None else auth_settings(folder)
    async with Emulator(EmulatorSettings(speed=SPEED)) as replicate:
        settings = settings_for(
            folder,
            replicate_api_token="r8_test",
            replicate_base_url=replicate.base_url,
            publish_topics=("room:*",),
            public_url="https://127.0.0.1",
            **fields,
        )
        if keys is not None:
            await store_keys(settings.database_path, more=keys)
        async with (
            open_app(settings) as app,
            listening(app, "127.0.0.1", 0) as url,
            aiohttp.ClientSession() as http,
        ):
            yield Server(app, url, http)
