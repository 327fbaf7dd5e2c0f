"""The server under test as a real process, which is killed and restarted on one port."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from tests.integration.operations.commands import ROOT, environment
from tests.patience import patient

READY_S = 20.0
"""How long a start may take."""

_POLL_S = 0.01
_STOP_S = 30.0
_LOGGED_ERROR = re.compile(r"Traceback|\[(error|critical)|crashed|abandoned", re.I)
# Below the range of ephemeral ports: a client that connects to the port of a killed server could
# otherwise be assigned that port as its own, and so block the restart.
_PORTS = range(15_000, 30_000)


class HarnessError(Exception):
    """The server failed in a way that a kill does not explain; the text has the end of its log."""


class ServerProcess:
    """The server process on one data directory and one port.

    Attributes:
        url: the same after each restart.
        folder: the data directory.
        starts: how often the process was started.
    """

    def __init__(
        self, folder: Path, changes: dict[str, str], *, prefix: Sequence[str] = ()
    ) -> None:
        """Make a process that is not started.

        Args:
            folder: gets the data directory and the log.
            changes: environment variables.
            prefix: what to write before its command, as `faketime` and its arguments.
        """
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder / "data"
        self.starts = 0
        self._log_path = folder / "server.log"
        self._environment = environment(changes)
        self._process: asyncio.subprocess.Process | None = None
        self._prefix = prefix

    async def start(self) -> None:
        """Start the process; returns before it answers."""
        command = (*self._prefix, sys.executable, "server.py", "serve")
        options = ("--port", str(self.port), "--data-dir", self.folder)
        self.starts += 1
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                *options,
                cwd=ROOT,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def ready(self, http: aiohttp.ClientSession) -> None:
        """Wait until the server answers.

        Raises:
            HarnessError: it has exited, or it does not answer within `READY_S` seconds.
        """
        try:
            async with asyncio.timeout(patient(READY_S)):
                while not await self._answers(http):
                    self.check_alive()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise HarnessError(self._failure("does not answer")) from error

    def logged_errors(self) -> list[str]:
        """The errors in its log, of all starts; blocking. Warnings are left out."""
        lines = self._log_path.read_text(errors="replace").splitlines()
        return [line for line in lines if _LOGGED_ERROR.search(line)]

    def check_alive(self) -> None:
        """Raises HarnessError when the process has exited by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise HarnessError(
                self._failure(f"exited by itself with code {self._process.returncode}")
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        """Send SIGKILL and wait for the exit; does nothing when there is no process."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def stop(self) -> int:
        """Send SIGTERM. Returns the exit code."""
        assert self._process is not None
        self.check_alive()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patient(_STOP_S)):
                return await self._process.wait()
        except TimeoutError as error:
            raise HarnessError(self._failure("does not stop")) from error

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(f"{self.url}/healthz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    def _failure(self, what: str) -> str:
        tail = self._log_path.read_text(errors="replace")[-3_000:]
        return f"start {self.starts} of the server on port {self.port} {what}; its log:\n{tail}"


def free_port() -> int:
    """A free port of the loopback interface."""
    rng = random.SystemRandom()
    while True:
        port = rng.choice(_PORTS)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
