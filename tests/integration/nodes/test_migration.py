"""A server with running tasks moves from its file to PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.nodes.node_processes import MONK, TOKEN, NodeProcess
from tests.integration.operations import commands
from tests.patience import patient

TASKS = 8


@pytest.mark.long
async def test_running_tasks_go_on_in_postgresql(tmp_path: Path, postgres_url: str) -> None:
    """Also after a crash of the old server: each ends, and none is created twice."""
    async with (
        commands.server(
            *("server.py", "emulator", "--port", "0", "--speed", "4"),
            PHOENIX_COMPAT_EMULATOR_API_TOKEN=TOKEN,
        ) as (_, emulator),
        aiohttp.ClientSession() as http,
    ):
        environment = {
            "REPLICATE_API_TOKEN": TOKEN,
            "REPLICATE_BASE_URL": f"{emulator}/v1",
            "PHOENIX_COMPAT_FILE_HOSTS": json.dumps([emulator]),
            "PHOENIX_COMPAT_CONCURRENCY": "4",
        }
        shared = {**environment, "PHOENIX_COMPAT_DATABASE_URL": postgres_url}
        old, new = NodeProcess(tmp_path, environment), NodeProcess(tmp_path, shared)
        await old.start()
        try:
            ids = [await post(http, old.url) for _ in range(TASKS // 2)]
            first = await new.command("migrate-store")
            ids += [await post(http, old.url) for _ in range(TASKS // 2)]
            await until(partial(predictions, http, emulator))
        finally:
            await old.end(signal.SIGKILL)

        last = await new.command("migrate-store", "--final")
        await new.start()
        try:
            await until(partial(are_completed, http, new.url, ids))
        finally:
            await new.end()

        assert (first.code, last.code) == (0, 0), first.err + last.err
        assert len(await predictions(http, emulator)) == TASKS
        assert not await asyncio.to_thread((tmp_path / "tasks.sqlite3").exists)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until a condition on another process is true."""
    async with asyncio.timeout(patient(30.0)):
        while not await condition():  # noqa: ASYNC110 - the other process sets no event
            await asyncio.sleep(0.1)


async def post(http: aiohttp.ClientSession, url: str) -> str:
    async with http.post(f"{url}/api/tasks", json=MONK) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["task_id"])


async def are_completed(http: aiohttp.ClientSession, url: str, ids: list[str]) -> bool:
    for task_id in ids:
        async with http.get(f"{url}/api/tasks/{task_id}") as answer:
            if (await answer.json())["state"] != "completed":
                return False
    return True


async def predictions(http: aiohttp.ClientSession, emulator: str) -> list[Any]:
    """All predictions that the emulator has made; each is paid for."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with http.get(f"{emulator}/v1/predictions", headers=headers) as answer:
        results = (await answer.json())["results"]
    assert isinstance(results, list)
    return results
