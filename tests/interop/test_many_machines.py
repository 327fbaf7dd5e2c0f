"""phoenix.js over long-polling with two nodes behind nginx, which sends each request to another."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster.in_turn import InTurn
from tests.integration.cluster.processes import a_secret, server
from tests.interop.test_phoenix_js import Run, Script, node, run
from tests.services.redis import OwnRedis

__all__ = ["node", "run"]  # fixtures

pytestmark = pytest.mark.node


@asynccontextmanager
async def two_nodes(own_redis: OwnRedis, folder: Path) -> AsyncIterator[tuple[InTurn, list[int]]]:
    """A node under aiohttp and one under uvicorn behind nginx, and their process ids."""
    secret = a_secret()
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(
                server(kind, folder, CHAT_SECRET=secret, CHAT_BUS=own_redis.url)
            )
            for kind in ("aiohttp", "uvicorn node")
        ]
        urls = [each.url for each in found]
        nginx = await stack.enter_async_context(InTurn.before(folder / "nginx", *urls))
        yield nginx, [each.process.pid for each in found]


async def push(script: Script, event: str, payload: Any) -> None:
    """Push an event."""
    await script.write_line(json.dumps([event, payload]))


async def test_phoenix_js_without_sticky_sessions(
    own_redis: OwnRedis, tmp_path: Path, run: Run
) -> None:
    """Everything works at any node; if that of the session is killed, it joins at another."""
    async with two_nodes(own_redis, tmp_path) as (nginx, pids):
        script = await run("longpoll.mjs", nginx.url, "room:x", "longpoll")
        joined = (await script.wait_for("joined"))[-1][1]["pid"]
        for number in range(10):
            await push(script, "say", {"n": number})
            assert await script.next() == ["said", {"n": number}]
            await push(script, "list", {})
            assert await script.next() == ["replied", {"users": ["ann"]}]
        reached = nginx.reached()

        os.kill(joined, signal.SIGKILL)
        again = await script.wait_for("joined", 40.0)
        await push(script, "say", {"still": "here"})
        said = await script.next()

    assert joined in pids
    assert len(reached) == 2
    assert min(reached.values()) >= 5
    assert ["close", 3410] in again
    assert again[-1][1]["pid"] == next(pid for pid in pids if pid != joined)
    assert said == ["said", {"still": "here"}]
