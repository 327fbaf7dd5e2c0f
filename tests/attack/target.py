"""The server that is attacked, and what others see of it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from tests.integration.hardening.besieged import Besieged, besieged, serve_in
from tests.integration.operations.commands import ROOT, environment

LATE_S: Final = 1.0
"""What a valid request may take while an attack goes on, in 99 of 100 cases."""

_RECEIVE_BYTES: Final = 65_536
_MAX_ANSWER_BYTES: Final = 4_000_000
_EVERY_S: Final = 0.05
_UNHURRIED: Final = {
    f"PHOENIX_COMPAT_OWNER_{name}_PER_MINUTE": "0" for name in ("CREATES", "CONNECTS", "JOINS")
}
"""All attacks have one key; its rates have an attack of their own."""

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """A running task server.

    Attributes:
        url: its base URL, with an IP address.
        folder: for the data of servers that an attack starts itself.
        own: the process and its log, if we started it.
        authorization: the header's value for valid requests, where the server wants one.
        late_s: what a valid request may take; a test gives it more.
    """

    url: str
    folder: Path
    own: Besieged | None = None
    authorization: str | None = None
    late_s: float = LATE_S

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), parts.port or 80

    @property
    def host_header(self) -> bytes:
        """A Host header that the server answers to."""
        return b"Host: " + urlsplit(self.url).netloc.encode() + b"\r\n"

    @property
    def credentials(self) -> list[tuple[str, str]]:
        """The headers of a websocket handshake that is to be let in."""
        return [] if self.authorization is None else [("Authorization", self.authorization)]

    def request(self, method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
        """The bytes of a valid request that closes its connection."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}", *headers]
        if self.authorization is not None:
            lines.append(f"Authorization: {self.authorization}")
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body

    async def say(self, data: bytes, *, wait_s: float = 5.0) -> bytes:
        """What is answered to some bytes, until the connection ends or nothing comes any more."""
        reader, writer = await asyncio.open_connection(*self.address)
        received = b""
        try:
            writer.write(data)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(wait_s):
                    while chunk := await reader.read(_RECEIVE_BYTES):
                        received += chunk
                        if len(received) > _MAX_ANSWER_BYTES:
                            break
        finally:
            writer.transport.abort()
        return received

    async def json(self, path: str) -> Any:
        """The JSON of a GET."""
        answer = await self.say(self.request("GET", path))
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def by(self, credential: str) -> Target:
        """The same server, as seen by a client with this credential."""
        return replace(self, authorization=f"Bearer {credential}")

    async def post_task(self) -> Any:
        """Order a picture; returns the answer."""
        body = b'{"input_data":{"type":"image","prompt":"Medieval monk"}}'
        post = self.request("POST", "/api/tasks", "Content-Type: application/json", body=body)
        answer = await self.say(post)
        assert status_of(answer) == 202, answer[:200]
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    async def tasks(self) -> int:
        """How many tasks there are on the first page."""
        return len((await self.json("/api/tasks?limit=200"))["tasks"])

    async def valid_request_s(self) -> float:
        """How long a new client waits for a valid answer.

        Raises:
            AssertionError: it got another answer.
        """
        begun_s = time.monotonic()
        answer = await self.say(self.request("GET", "/api/tasks?limit=1"), wait_s=60.0)
        assert status_of(answer) == 200, answer[:200]
        return time.monotonic() - begun_s

    async def meanwhile(self, attack: Awaitable[T]) -> tuple[T, Others]:
        """Carry out an attack, while valid requests are sent one after the other."""
        others = Others(self.late_s)
        asking = asyncio.create_task(others.ask(self))
        try:
            result = await attack
            while len(others.times_s) < 2:  # noqa: ASYNC110 - a short attack
                await asyncio.sleep(_EVERY_S)
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
        return result, others

    def memory_bytes(self) -> int:
        """The resident memory of our own server; 0 if it is not ours."""
        if self.own is None:
            return 0
        pages = int(Path(f"/proc/{self.own.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Others:
    """What the other clients of an attacked server see.

    Attributes:
        times_s: how long each of their requests took.
        failures: those that were not answered, or not with 200.
    """

    def __init__(self, late_s: float) -> None:
        self.times_s: list[float] = []
        self.failures: list[str] = []
        self._late_s = late_s

    async def ask(self, target: Target) -> None:
        """Ask again and again, until cancelled."""
        while True:
            try:
                self.times_s.append(await target.valid_request_s())
            except (AssertionError, OSError) as error:
                self.failures.append(repr(error)[:100])
            await asyncio.sleep(_EVERY_S)

    @property
    def p99_s(self) -> float:
        """What 99 of 100 requests take at most."""
        times = sorted(self.times_s)
        return times[min(len(times) - 1, int(len(times) * 0.99))] if times else float("inf")

    @property
    def are_served(self) -> bool:
        """Whether all were answered, and in time."""
        return not self.failures and self.p99_s <= self._late_s

    def __str__(self) -> str:
        failed = f", {len(self.failures)} failed: {self.failures[0]}" if self.failures else ""
        return f"others p99 {1000 * self.p99_s:.0f} ms of {len(self.times_s)}{failed}"


def status_of(answer: bytes) -> int:
    """The status of the first answer; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


@asynccontextmanager
async def own_target(folder: Path, late_s: float = LATE_S, **changes: str) -> AsyncIterator[Target]:
    """A server of our own on loopback, with the default settings; it logs everything.

    Args:
        changes: to its environment.
    """
    arguments = serve_in(folder, "--log-level", "debug")
    async with besieged(folder, *arguments, **changes) as server:
        yield Target(server.url, folder, server, late_s=late_s)


async def new_key(folder: Path, name: str) -> str:
    """Create an API key for the server whose data are in a folder, before it starts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "phoenix_compat", "keys", "create", name, "--data-dir", str(folder / "data")),
        cwd=ROOT,
        env=environment({}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().strip()


@asynccontextmanager
async def keyed_target(
    folder: Path, late_s: float = LATE_S, **changes: str
) -> AsyncIterator[Target]:
    """The same with `auth = ["keys"]`; valid requests have a key of their own.

    Args:
        changes: to its environment.
    """
    key = await new_key(folder, "attack")
    changes = {"PHOENIX_COMPAT_AUTH": '["keys"]', **_UNHURRIED, **changes}
    async with own_target(folder, late_s, **changes) as target:
        yield target.by(key)
