"""Starts a server with two processes, and finds clients for each of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.process.proxies import free_port
from tests.patience import patient
from tests.wire import PhoenixWire

ROOT = Path(__file__).parents[3]
APPS = "tests.integration.cluster.apps"

COMMANDS = {
    "gunicorn": [
        *("-m", "gunicorn", "--workers", "2", "--worker-class", "aiohttp.GunicornWebWorker"),
        *("--bind", "127.0.0.1:PORT", "--graceful-timeout", "5", f"{APPS}:aiohttp_app"),
    ],
    "gunicorn with uvicorn": [
        *("-m", "gunicorn", "--workers", "2", "--worker-class", "uvicorn_worker.UvicornWorker"),
        *("--bind", "127.0.0.1:PORT", "--graceful-timeout", "5", f"{APPS}:asgi_app"),
    ],
    "uvicorn": [
        *("-m", "uvicorn", "--workers", "2", "--host", "127.0.0.1", "--port", "PORT"),
        *("--no-access-log", f"{APPS}:asgi_app"),
    ],
}

NODES = {
    "aiohttp": [
        "-c",
        (
            f"from aiohttp import web; from {APPS} import aiohttp_app; "
            "web.run_app(aiohttp_app(), host='127.0.0.1', port=PORT, print=None)"
        ),
    ],
    "uvicorn node": [
        *("-m", "uvicorn", "--host", "127.0.0.1", "--port", "PORT", "--no-access-log"),
        *("--timeout-graceful-shutdown", "5", f"{APPS}:asgi_app"),
    ],
}
"""Servers with one process."""


class Server(NamedTuple):
    """A running server, and what it has logged."""

    url: str
    log: Path
    process: asyncio.subprocess.Process


@asynccontextmanager
async def server(kind: str, folder: Path, **environment: str) -> AsyncIterator[Server]:
    """Run one of COMMANDS or NODES on a free port; it may still be starting.

    Its temporary files are in a folder with a short path, because a socket's path must be short.
    """
    temporary = tempfile.TemporaryDirectory(prefix="phx")
    port = str(free_port())
    log = folder / f"{port}.log"
    command = [part.replace("PORT", port) for part in {**COMMANDS, **NODES}[kind]]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": temporary.name, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield Server(f"http://127.0.0.1:{port}", log, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(patient(30.0)):
            await process.wait()
        temporary.cleanup()


def a_secret() -> str:
    """A secret for an endpoint."""
    return secrets.token_urlsafe(48)


class Joined(NamedTuple):
    """A client on a topic, and the process that it is connected to."""

    wire: PhoenixWire
    pid: int


async def join(url: str, user: str, topic: str) -> Joined:
    """Connect as this user and join; only the reply is read."""
    wire = await PhoenixWire.open(url, f"/socket/websocket?vsn=2.0.0&user={user}")
    reply = await wire.ask(["1", "1", topic, "phx_join", {}])
    return Joined(wire, reply[4]["response"]["pid"])


async def join_another(url: str, user: str, topic: str, *pids: int) -> Joined:
    """The same at a process that is none of these; the server may still be starting."""
    async with asyncio.timeout(patient(40.0)):
        while True:
            try:
                joined = await join(url, user, topic)
            except OSError:
                await asyncio.sleep(0.05)  # it does not listen yet
                continue
            if joined.pid not in pids:
                return joined
            await joined.wire.close()


async def users(wire: PhoenixWire, topic: str, expected: list[str]) -> None:
    """Wait until exactly these users are present, as the client's process knows them."""
    async with asyncio.timeout(patient(20.0)):
        found = None
        while found != expected:
            await wire.send(["1", "list", topic, "list", {}])
            found = (await until(wire, "phx_reply"))["response"]["users"]


async def logged(server: Server, text: str) -> str:
    """Wait until the server has logged this text; return the log."""
    async with asyncio.timeout(patient(40.0)):
        while text not in (log := server.log.read_text()):  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.05)
    return log


async def until(wire: PhoenixWire, event: str) -> Any:
    """The payload of the next message with this event; others before it are read."""
    async with asyncio.timeout(patient(10.0)):
        while True:
            message = await wire.recv()
            if message[3] == event:
                return message[4]
