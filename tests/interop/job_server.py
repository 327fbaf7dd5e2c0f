"""The task server as a process that is killed and restarted, with models that wait for the test.

The models stand still until `let_models_run`, so that a kill finds every task unfinished, however
busy the machine is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from phoenix_compat.emulator import Emulator, EmulatorSettings
from tests.faults.server_process import ServerProcess
from tests.integration.operations.commands import run

_SPEED = 20.0
_FORMS = {"image/jpeg", "image/png", "image/webp"}


class JobServer:
    """A running server, and what an app does over HTTP."""

    def __init__(
        self, process: ServerProcess, emulator: Emulator, http: aiohttp.ClientSession
    ) -> None:
        self.process = process
        self.url = process.url
        self._emulator = emulator
        self._http = http

    async def start(self) -> None:
        """Start the process and wait until it answers."""
        await self.process.start()
        await self.process.ready(self._http)

    async def kill(self) -> None:
        """Send SIGKILL."""
        await self.process.kill()

    def let_models_run(self) -> None:
        """End the standstill of the models."""
        self._emulator.state.clock.scale(1.0)

    async def create_key(self) -> str:
        """Create an API key, with the command; returns it."""
        arguments = ("keys", "create", "phone", "--data-dir", str(self.process.folder))
        return (await run("-m", "phoenix_compat", *arguments)).out.strip()

    async def create_task(self, prompt: str, headers: Mapping[str, str] | None = None) -> str:
        """Create an image task; returns its id."""
        body = {"input_data": {"type": "image", "prompt": prompt}}
        url = f"{self.url}/api/tasks"
        async with self._http.post(url, json=body, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
            return str((await answer.json())["task_id"])

    async def is_picture(self, end: Mapping[str, Any]) -> bool:
        """Whether the link in a terminal `progress` leads to a picture."""
        async with self._http.get(end["result_data"]["image_url"]) as answer:
            return (
                bool(await answer.read())
                and answer.status == 200
                and (answer.content_type in _FORMS)
            )


@asynccontextmanager
async def job_server(folder: Path, **changes: str) -> AsyncIterator[JobServer]:
    """A server that is not started yet; `changes` are settings, as environment variables."""
    settings = EmulatorSettings(speed=_SPEED)
    async with Emulator(settings) as emulator, aiohttp.ClientSession() as http:
        emulator.state.clock.scale(0.0)
        origin = emulator.base_url.removesuffix("/v1")
        process = ServerProcess(
            folder,
            {
                "REPLICATE_API_TOKEN": "r8_clients",
                "REPLICATE_BASE_URL": emulator.base_url,
                "PHOENIX_COMPAT_FILE_HOSTS": json.dumps([origin]),
                **changes,
            },
        )
        try:
            yield JobServer(process, emulator, http)
        finally:
            await process.kill()
