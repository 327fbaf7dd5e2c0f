"""A server with several processes, and clients that choose the process they connect to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from phoenix_compat.cluster.workers.worker_process import usable_folder
from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.wire_client import WireClient
from tests.integration.operations import commands
from tests.integration.task_server import Watch
from tests.patience import patient
from tests.wire import V2, PatientClient, PhoenixWire

REFERENCE = ("-m", "phoenix_compat", "conformance", "serve", "--port", "0")
_TIMEOUT_S = 20.0
_POLL_S = 0.02
_JSON = [("Content-Type", "application/json")]


class MultiprocessServer:
    """The running server.

    Attributes:
        process: the supervisor.
        folder: where the folder with its sockets is.
    """

    def __init__(self, process: asyncio.subprocess.Process, url: str, folder: Path) -> None:
        self.process = process
        self.url = url
        self.folder = folder
        self._clients = AsyncExitStack()

    async def connect(self, node: int) -> WireClient:
        """Connect to this process. The kernel chooses the process, so several attempts are made."""
        async with asyncio.timeout(patient(_TIMEOUT_S)):
            while True:
                try:
                    client = await PatientClient.connect(self.url)
                    answer = await client.request("GET", "/healthz")
                except (ConnectionError, asyncio.IncompleteReadError):
                    continue  # the kernel chose a process that has just been killed
                if json.loads(answer.body).get("node", 0) == node:  # one process has no number
                    self._clients.push_async_callback(client.close)
                    return client
                await client.close()

    async def wire(self, node: int, target: str = V2) -> PhoenixWire:
        """Open a websocket to this process."""
        client = await self.connect(node)
        answer = await client.handshake(target)
        assert answer.status == 101, answer
        return PhoenixWire(client)

    async def request(
        self, node: int, method: str, target: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Send a request to this process; returns status and JSON of the response."""
        client = await self.connect(node)
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        data = b"" if body is None else compact_json(body).encode()
        async with asyncio.timeout(patient(_TIMEOUT_S)):
            answer = await client.request(
                method, target, [*_JSON, *named], data, timeout_s=_TIMEOUT_S
            )
        return answer.status, json.loads(answer.body or b"null")

    async def post(self, node: int, prompt: str = "monk", **headers: str) -> str:
        """Create a task at this process; returns its id."""
        body = {"input_data": {"type": "image", "prompt": prompt}}
        status, created = await self.request(node, "POST", "/api/tasks", body, **headers)
        assert status == 202, created
        return str(created["task_id"])

    async def watch(self, node: int, task_id: str) -> Watch:
        """Join a task's channel at this process."""
        wire = await self.wire(node)
        await wire.join(f"task:{task_id}")
        return Watch(wire, f"task:{task_id}")

    async def leader(self) -> int:
        """The number of the leading process."""
        status, body = await self.request(0, "GET", "/readyz")
        assert status == 200, body
        return int(body["node"])

    async def pid(self, node: int) -> int:
        """The process id, which the kernel knows of the socket on which it listens."""
        [folder] = self.folder.glob("phoenix-compat-*")
        with usable_folder(folder) as short, socket.socket(socket.AF_UNIX) as client:
            client.connect(str(short / f"{node}.bus"))
            size = struct.calcsize("3i")
            found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(struct.unpack("3i", found)[0])

    async def kill(self, node: int) -> None:
        """Send SIGKILL to this process, and wait until it is gone."""
        pid = await self.pid(node)
        os.kill(pid, signal.SIGKILL)
        await gone(pid)

    async def close_clients(self) -> None:
        """Close all connections."""
        await self._clients.aclose()


@asynccontextmanager
async def multiprocess_server(
    *arguments: str, size: int = 2, data_dir: Path | None = None, **changes: str
) -> AsyncIterator[MultiprocessServer]:
    """Run a command with this many workers.

    Args:
        data_dir: where its sockets are; None for a temporary folder with a short name, as commands
            without a data directory have them.
    """
    with tempfile.TemporaryDirectory(prefix="co-") as name:
        command = (*arguments, "--workers", str(size))
        async with commands.server(*command, TMPDIR=name, **changes) as (process, url):
            processes = MultiprocessServer(process, url, data_dir or Path(name))
            try:
                yield processes
            finally:
                await processes.close_clients()


def is_alive(pid: int) -> bool:
    """Whether this process exists."""
    return Path(f"/proc/{pid}").exists()


async def gone(pid: int) -> None:
    """Wait until this process no longer exists."""
    async with asyncio.timeout(patient(_TIMEOUT_S)):
        while is_alive(pid):  # noqa: ASYNC110 - a process that is not our child sets no event
            await asyncio.sleep(_POLL_S)
