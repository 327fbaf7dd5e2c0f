"""Python clients from PyPI through the whole job, or what they can do of it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from phoenix_channels_python_client import PhoenixChannelsProtocolVersion

from phoenix_compat import Channel, Endpoint, Result, Socket, SocketHandler, ok, on
from tests.conftest import Serve
from tests.docs.pages import ROOT
from tests.interop.job_server import job_server
from tests.interop.long.needed import is_missing
from tests.interop.test_phoenix_js import Script
from tests.interop.test_python_client import client_of
from tests.serving import EventLog, socket_app

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

PACKAGES = ROOT / "build" / "python-clients"
SCRIPT = Path(__file__).with_name("python_client.py")
RECONNECT_S = 60.0

RunClient = Callable[..., Awaitable[Script]]


@pytest.fixture
async def run_client() -> AsyncIterator[RunClient]:
    """Run a client by name; it is killed when the test ends."""
    async with AsyncExitStack() as scripts:

        async def start(name: str, *arguments: str) -> Script:
            if not (PACKAGES / name).is_dir():
                is_missing(f"{name} is missing: `make test-long` installs it")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(SCRIPT), name, *arguments),
                env={**os.environ, "PYTHONPATH": str(PACKAGES)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            script = Script(process)
            scripts.push_async_callback(script.stop)
            return script

        yield start


async def test_phxsocket(run_client: RunClient, tmp_path: Path) -> None:
    """It follows a task, joins again after a kill, gets the picture, and can join late."""
    async with job_server(tmp_path) as server:
        await server.start()
        topic = f"task:{await server.create_task('Medieval monk')}"
        script = await run_client("phxsocket", server.url, topic)
        await script.wait_for("processing", RECONNECT_S)

        await server.kill()
        await script.wait_for("close", RECONNECT_S)
        await server.start()
        await script.wait_for("joined", RECONNECT_S)
        server.let_models_run()
        end = (await script.wait_for("completed", RECONNECT_S))[-1][1]
        late = await run_client("phxsocket", server.url, topic)

        assert await server.is_picture(end)
        assert (await late.wait_for("completed"))[-1][1] == end


async def test_phoenix_channels_python_client(tmp_path: Path) -> None:
    """Over V1 it takes the whole job; V2 drops broadcasts, and there it can join late."""
    async with job_server(tmp_path) as server:
        await server.start()
        topic, events = f"task:{await server.create_task('Medieval monk')}", EventLog()

        async def on_message(message: Any) -> None:
            events.record(message.payload)

        version = PhoenixChannelsProtocolVersion
        async with client_of(server.url, protocol_version=version.V1) as client:
            await client.subscribe_to_topic(topic, on_message)
            assert (await events.next())["status"] == "processing"
            await server.kill()
            await server.start()
            server.let_models_run()
            while (end := await events.next(RECONNECT_S))["status"] == "processing":
                pass
        async with client_of(server.url, protocol_version=version.V2) as client:
            await client.subscribe_to_topic(topic, on_message)
            late = await events.next()

        assert await server.is_picture(end)
        assert late == end


class RealtimeChannel(Channel):
    """What Supabase's Realtime does with a client's broadcast, as far as clients can see."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Let everyone join."""
        return ok({"postgres_changes": []})

    @on("broadcast")
    def broadcast(self, payload: Any, socket: Socket) -> None:
        """Pass it on to everyone, the sender included."""
        socket.broadcast("broadcast", payload)


class RealtimeSocket(SocketHandler):
    """Accepts everyone."""

    channels = {"realtime:*": RealtimeChannel}  # noqa: RUF012 - a ClassVar of the base

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        """Accept everyone."""
        return ok()

    def id(self, socket: Socket) -> str | None:
        """One id for all."""
        return "user:all"


async def test_realtime(run_client: RunClient, serve: Serve) -> None:
    """It subscribes, hears its broadcast, and does so again after a forced disconnect.

    It joins no topics but `realtime:…`, so it cannot follow tasks.
    """
    endpoint = Endpoint()
    base_url = await serve(socket_app(RealtimeSocket, endpoint=endpoint))
    script = await run_client("realtime", base_url, "monks")
    first = await script.wait_for("news", RECONNECT_S)

    await endpoint.broadcast("user:all", "disconnect", {})
    again = await script.wait_for("news", RECONNECT_S)

    subscribed, news = ["state", "SUBSCRIBED"], ["news", {"n": 1}]
    assert first == [subscribed, news]
    assert again[-2:] == [subscribed, news]
