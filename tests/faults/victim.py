"""The server under test: the real process, started, killed and started again on one port."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import socket
import sys
from pathlib import Path

import aiohttp

from tests.integration.operations.commands import ROOT, environment
from tests.patience import patient

READY_S = 20.0
"""A start that takes longer than this has failed."""

_LOOK_S = 0.01
_STOP_S = 30.0
_COMPLAINT = re.compile(r"Traceback|\[(error|critical)|crashed|abandoned", re.I)
# Below the range from which systems take the ports of outgoing connections: a client that knocks
# at the port of a dead server must not be given that very port, and so keep the server out.
_PORTS = range(15_000, 30_000)


class HarnessError(Exception):
    """The server did what no kill explains; the text has the end of its log."""


class Victim:
    """One data directory and one port; the process comes and goes.

    Attributes:
        url: the same across restarts.
        folder: the data directory.
        starts: how often a process was started.
    """

    def __init__(self, folder: Path, changes: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder / "data"
        self.starts = 0
        self._log_path = folder / "server.log"
        self._environment = environment(changes)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process; it need not answer yet."""
        arguments = ("server.py", "serve", "--port", str(self.port), "--data-dir", self.folder)
        self.starts += 1
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=ROOT,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ready(self, http: aiohttp.ClientSession) -> None:
        """Wait until it answers.

        Raises:
            HarnessError: it ended, or it does not answer for `READY_S` seconds.
        """
        try:
            async with asyncio.timeout(patient(READY_S)):
                while not await self._answers(http):
                    self.check_alive()
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as error:
            raise HarnessError(self._story("does not answer")) from error

    def complaints(self) -> list[str]:
        """The errors in its log, over all its lives; blocking. Warnings are not counted."""
        lines = self._log_path.read_text(errors="replace").splitlines()
        return [line for line in lines if _COMPLAINT.search(line)]

    def check_alive(self) -> None:
        """Raises HarnessError when the process has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise HarnessError(self._story(f"ended by itself with {self._process.returncode}"))

    async def kill(self) -> None:
        """SIGKILL, and wait until the process is gone; nothing when there is none."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self.check_alive()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patient(_STOP_S)):
                return await self._process.wait()
        except TimeoutError as error:
            raise HarnessError(self._story("does not stop")) from error

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(f"{self.url}/healthz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    def _story(self, what: str) -> str:
        tail = self._log_path.read_text(errors="replace")[-3_000:]
        return f"start {self.starts} of the server on port {self.port} {what}; its log:\n{tail}"


def free_port() -> int:
    """A port of the loopback on which nobody listens."""
    dice = random.SystemRandom()
    while True:
        port = dice.choice(_PORTS)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
