"""More clients than a server has descriptors for, and the server with so few of them."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import pytest

from tests.integration.operations.commands import ROOT, environment, listening_url
from tests.patience import patient
from tests.wire import V2, PatientClient, PhoenixWire

PATIENCE_S: Final = 30.0
DESCRIPTORS: Final = 256
ROOM: Final = 176
"""So many connections 256 descriptors leave room for: 64 are kept back, 16 are for those beyond."""

_DIAL_S: Final = 10.0
_LOOK_S: Final = 0.02
_GET_HEALTH: Final = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_HALF_A_HEAD: Final = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-And-Then"


@contextmanager
def many_descriptors(wanted: int = 2_500) -> Iterator[None]:
    """Let this process have so many descriptors; the test is skipped where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} open files are needed and {hard} allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Limited:
    """A server that runs with few descriptors.

    Attributes:
        process: the server, or its supervisor.
    """

    def __init__(self, process: asyncio.subprocess.Process, url: str, errors: Path) -> None:
        self.process = process
        self.url = url
        self._errors = errors
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)

    async def health(self, timeout_s: float = PATIENCE_S) -> tuple[int, dict[str, Any]]:
        """Ask /healthz on a connection of its own: the status and what it says."""
        answer = await self._asked(_GET_HEALTH, timeout_s)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    async def ask(self, method: str, path: str) -> bytes:
        """A request on a connection of its own: all of the answer, to the end of the connection."""
        request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        return await self._asked(request.encode(), PATIENCE_S)

    async def _asked(self, request: bytes, timeout_s: float) -> bytes:
        async with asyncio.timeout(patient(timeout_s)):
            reader, writer = await asyncio.open_connection(*self._address)
            try:
                writer.write(request)
                answer = b""
                while not _is_complete(answer) and (data := await reader.read(65_536)):
                    answer += data
            finally:
                writer.close()
        assert answer, "the connection was closed without an answer"
        return answer

    async def open_connections(self, wanted: int) -> int:
        """How many connections the server counts beside the one that asks, once it is `wanted`."""
        is_open = -1
        with suppress(TimeoutError):
            async with asyncio.timeout(patient(PATIENCE_S)):
                while is_open != wanted:
                    await asyncio.sleep(_LOOK_S)
                    is_open = (await self.health())[1]["connections"]["open"] - 1
        return is_open

    async def stop(self) -> float:
        """End it by SIGTERM; how long that took, in seconds."""
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(patient(PATIENCE_S)):
            await self.process.wait()
        return time.monotonic() - began_s

    @property
    def log_lines(self) -> list[str]:
        """What it said on standard error."""
        return self._errors.read_text().splitlines()


def _is_complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end and length) and len(body) >= int(length[0].split(b":")[1])


@asynccontextmanager
async def limited_server(
    *arguments: str, descriptors: int = DESCRIPTORS, **changes: str
) -> AsyncIterator[Limited]:
    """Run Python with these arguments and so many descriptors; killed if it does not end."""
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder, "stderr")
        with await asyncio.to_thread(errors.open, "wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *("sh", "-c", f'ulimit -n {descriptors} && exec "$0" "$@"'),
                *arguments,
                cwd=ROOT,
                env=environment(changes),
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        try:
            yield Limited(process, await listening_url(process), errors)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    async with asyncio.timeout(patient(PATIENCE_S)):
                        await process.communicate()
                except TimeoutError:
                    process.kill()
                    await process.communicate()


class Crowd:
    """Clients that connect and wait: idle, with half a head, and with joined websockets."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._address = (str(urlsplit(url).hostname), urlsplit(url).port)
        self._sockets: list[socket.socket] = []
        self._wires: list[PhoenixWire] = []

    @classmethod
    async def gather(cls, url: str, size: int, websockets: int = 0, topic: str = "") -> Self:
        """Let them come: the websockets first, as they must get in and join the topic."""
        crowd = cls(url)
        try:
            await asyncio.gather(*(crowd._join(topic) for _ in range(websockets)))
            for number in range(size - websockets):
                await crowd._knock(b"" if number % 2 else _HALF_A_HEAD)
        except BaseException:
            await crowd.leave()
            raise
        return crowd

    async def _join(self, topic: str) -> None:
        client = await PatientClient.connect(self._url)
        wire = PhoenixWire(client)
        self._wires.append(wire)
        assert (await client.handshake(V2)).status == 101
        await wire.join(topic)

    async def _knock(self, data: bytes) -> None:
        knocking = socket.socket()
        self._sockets.append(knocking)
        knocking.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(patient(_DIAL_S)):
            await loop.sock_connect(knocking, self._address)
            with suppress(ConnectionError):  # turned away already
                await loop.sock_sendall(knocking, data)

    async def leave(self) -> None:
        """Drop all connections."""
        for one in self._sockets:
            one.close()
        await asyncio.gather(*(wire.close() for wire in self._wires), return_exceptions=True)
