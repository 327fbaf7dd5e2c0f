"""Nodes as processes with folders of their own, one emulator for all, and nginx in front."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from phoenix_compat.control_token import control_headers
from tests.integration.operations import commands
from tests.integration.process.proxies import free_port
from tests.patience import patient

MONK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}
TOKEN = "r8_of_the_nodes"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
_START_S = 30.0


class NodeProcess:
    """A node as a process, on a port of its own, which it keeps when it is started again."""

    def __init__(self, folder: Path, environment: dict[str, str], *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process | None = None
        self._folder = folder
        self._environment = environment
        self._options = options

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("server.py", "--port", str(self.port), "--data-dir", str(self._folder)),
                *self._options,
                cwd=commands.ROOT,
                env=commands.environment(self._environment),
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(patient(_START_S)), aiohttp.ClientSession() as http:
            while not await _answers(http, self.url):
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.05)

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self._folder / "log").read_text(errors="replace")

    async def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, and wait until it has gone; returns its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(by)
        return await self.process.wait()

    async def command(self, *arguments: str) -> commands.Finished:
        """Run a command with this node's settings."""
        return await commands.run(
            *("server.py", *arguments, "--data-dir", str(self._folder)), **self._environment
        )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


class NodeSet:
    """Three nodes, and the URL at which clients reach all of them.

    Attributes:
        url: of nginx, or of the first node where nginx is not installed.
    """

    def __init__(
        self,
        nodes: list[NodeProcess],
        url: str,
        http: aiohttp.ClientSession,
        emulator: str,
        token_file: Path,
    ) -> None:
        self.nodes = nodes
        self.url = url
        self.http = http
        self._emulator = emulator
        self._token_file = token_file

    async def post(self, url: str | None = None, **headers: str) -> str:
        """Create a task at this URL, or through nginx; returns its id."""
        async with self.http.post(
            f"{url or self.url}/api/tasks", json=MONK, headers=headers
        ) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == 202, body
            return str(body["task_id"])

    async def task(self, task_id: str, url: str | None = None) -> Any:
        """The task, as this node knows it."""
        async with self.http.get(f"{url or self.url}/api/tasks/{task_id}") as answer:
            return await answer.json(content_type=None)

    async def states(self, task_ids: Iterable[str]) -> set[str]:
        """The states of these tasks."""
        tasks = await asyncio.gather(*(self.task(one, self.nodes[-1].url) for one in task_ids))
        return {task["state"] for task in tasks}

    async def creates(self) -> int:
        """How many predictions the provider has made, which is what it bills."""
        headers = await asyncio.to_thread(
            control_headers, self._emulator, "emulator", self._token_file
        )
        async with self.http.get(f"{self._emulator}/__emu/counts", headers=headers) as answer:
            return int((await answer.json())["counts"]["created"])


@asynccontextmanager
async def node_set(
    folder: Path,
    database_url: str,
    *options: str,
    bus_url: str | None = None,
    count: int = 3,
    speed: float = 20.0,
    **changes: str,
) -> AsyncIterator[NodeSet]:
    """Run nodes, with an emulator, behind nginx if it is installed."""
    token_file = folder / "control-token"
    async with AsyncExitStack() as stack:
        _, emulator = await stack.enter_async_context(
            commands.server(
                *("server.py", "emulator", "--port", "0", "--speed", str(speed)),
                *("--control-token-file", str(token_file)),
            )
        )
        environment = {
            "REPLICATE_API_TOKEN": TOKEN,
            "REPLICATE_BASE_URL": f"{emulator}/v1",
            "PHOENIX_COMPAT_FILE_HOSTS": json.dumps([emulator]),
            "PHOENIX_COMPAT_DATABASE_URL": database_url,
            "PHOENIX_COMPAT_INSECURE_NO_AUTH": "true",
            "PHOENIX_COMPAT_LOG_FORMAT": "json",
            **({} if bus_url is None else {"PHOENIX_COMPAT_BUS_URL": bus_url}),
            **changes,
        }
        nodes = [
            NodeProcess(folder / f"node-{number}", environment, *options) for number in range(count)
        ]
        stack.push_async_callback(_end_all, nodes)
        await asyncio.gather(*(node.start() for node in nodes))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        url = nodes[0].url
        if NGINX is not None:
            url = await stack.enter_async_context(_nginx(folder, [node.port for node in nodes]))
        yield NodeSet(nodes, url, http, emulator, token_file)


async def _end_all(nodes: list[NodeProcess]) -> None:
    for node in nodes:
        if node.process is not None and node.process.returncode is None:
            node.process.send_signal(signal.SIGCONT)
    await asyncio.gather(*(node.end(signal.SIGKILL) for node in nodes if node.process is not None))


@asynccontextmanager
async def _nginx(folder: Path, ports: list[int]) -> AsyncIterator[str]:
    """nginx in front of the nodes, which sends each request to the next one."""
    assert NGINX is not None
    port = free_port()
    servers = "".join(f"server 127.0.0.1:{one} max_fails=0;\n" for one in ports)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{}}
http {{
access_log off;
{paths}
upstream nodes {{ {servers} }}
map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
server {{
  listen 127.0.0.1:{port};
  location / {{
    proxy_pass http://nodes;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_next_upstream error timeout http_503;
    proxy_connect_timeout 1s;
    proxy_read_timeout 120s;
  }}
}}
}}
""")
    process = await asyncio.create_subprocess_exec(
        *(NGINX, "-e", str(folder / "nginx.log"), "-c", str(folder / "nginx.conf"))
    )
    try:
        async with asyncio.timeout(patient(_START_S)), aiohttp.ClientSession() as http:
            while not await _answers(http, f"http://127.0.0.1:{port}"):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
