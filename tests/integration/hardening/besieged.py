"""A server in a process of its own, with its log in a file, and what a siege costs it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.integration.operations.commands import ROOT, environment, listening_url
from tests.patience import patient

_PATIENCE_S = 15.0


@dataclass(frozen=True)
class Besieged:
    """The running server."""

    pid: int
    url: str
    log: Path

    @property
    def log_bytes(self) -> int:
        """How long its log is by now."""
        return self.log.stat().st_size

    def log_text(self) -> str:
        """All that it logged."""
        return self.log.read_bytes().decode()

    def cpu_s(self) -> float:
        """How long its threads have been computing: by the nanosecond where the kernel tells."""
        threads = Path(f"/proc/{self.pid}/task")
        try:
            times = [
                int((thread / "schedstat").read_text().split()[0]) for thread in threads.iterdir()
            ]
            return sum(times) / 1e9
        except FileNotFoundError:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def say(self, request: bytes, *, is_broken_off: bool = False) -> bytes:
        """All that is answered to some bytes, on a connection of its own. Blocking.

        Args:
            is_broken_off: whether to close this half behind them.
        """
        host, _, port = self.url.removeprefix("http://").partition(":")
        answer = b""
        with socket.create_connection(
            (host, int(port)), timeout=patient(_PATIENCE_S)
        ) as connection:
            try:
                connection.sendall(request)
                if is_broken_off:
                    connection.shutdown(socket.SHUT_WR)
                while data := connection.recv(65_536):
                    answer += data
            except ConnectionError:
                pass  # it may close before it has read all
        return answer

    async def health_s(self, times: int) -> float:
        """How long `/healthz` usually takes to answer."""
        taken: list[float] = []
        timeout = aiohttp.ClientTimeout(total=patient(_PATIENCE_S))
        async with aiohttp.ClientSession(timeout=timeout) as http:
            for _ in range(times):
                begun = time.perf_counter()
                async with http.get(f"{self.url}/healthz") as answer:
                    assert answer.status == 200
                    await answer.read()
                taken.append(time.perf_counter() - begun)
        return statistics.median(taken)


@asynccontextmanager
async def besieged(folder: Path, *arguments: str, **changes: str) -> AsyncIterator[Besieged]:
    """Run a command that listens; its log is a file, which no reader has to empty."""
    path = folder / "log"
    with path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "phoenix_compat", *arguments),
            cwd=ROOT,
            env=environment(changes),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        yield Besieged(process.pid, await listening_url(process), path)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(patient(_PATIENCE_S)):
                    await process.communicate()
            except TimeoutError:
                process.kill()
                await process.communicate()
                raise


def serve_in(folder: Path, *arguments: str) -> tuple[str, ...]:
    """The task server with its data in a folder."""
    return ("serve", "--port", "0", "--data-dir", str(folder / "data"), *arguments)
