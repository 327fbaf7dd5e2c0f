"""One worker process from its start to its exit, as the supervisor sees it.

The supervisor sends a ping every second, which the worker's event loop answers. A worker that is
stopped, or whose loop hangs, cannot answer. It would keep the database and its share of the new
connections for ever, so it gets SIGKILL, as does one that does not become ready or does not stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from phoenix_compat.background import log_failure
from phoenix_compat.cluster.workers.worker_process import PING, READY, WorkerProcess

log = logging.getLogger(__name__)

PING_INTERVAL_S: Final = 1.0
MAX_UNANSWERED: Final = 6
"""Clients of a worker that hangs get a 503 after 5 s; see forwarding. An answer is due within a
fraction of a second."""

_READ_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """How long a worker may take.

    Attributes:
        start_s: from its start until it is ready.
        stop_s: from SIGTERM until it has exited.
    """

    start_s: float
    stop_s: float


class StartedWorker:
    """A running worker process. Made by `start`, ended by `stop` or by itself.

    Attributes:
        ready: set once it serves.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        link: socket.socket,
        worker_process: WorkerProcess,
        limits: WorkerLimits,
        on_ready: Callable[[], None],
    ) -> None:
        self.ready = asyncio.Event()
        self._process = process
        self._link = link
        self._node = worker_process.node
        self._limits = limits
        self._on_ready = on_ready
        self._unanswered = 0
        self._tasks = (
            asyncio.create_task(self._talk(worker_process), name=f"worker-link-{self._node}"),
            asyncio.create_task(self._watch(), name=f"worker-watch-{self._node}"),
        )
        for task in self._tasks:
            task.add_done_callback(log_failure)

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        worker_process: WorkerProcess,
        limits: WorkerLimits,
        on_ready: Callable[[], None],
    ) -> Self:
        """Start a process, and send it its settings.

        Args:
            on_ready: called when the worker serves.

        Raises:
            OSError: the program cannot be run.
        """
        own, of_worker = socket.socketpair()
        own.settimeout(0)
        try:
            with of_worker:
                process = await asyncio.create_subprocess_exec(*command, stdin=of_worker.fileno())
        except BaseException:
            own.close()
            raise
        return cls(process, own, worker_process, limits, on_ready)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for the exit, and return the exit code."""
        try:
            return await self._process.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._link.close()

    async def stop(self) -> None:
        """Send SIGTERM; after the limit, SIGKILL. It returns before the process has exited."""
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._limits.stop_s):
                await self._process.wait()
        except TimeoutError:
            self._kill(f"did not stop in {self._limits.stop_s:g} s")

    def _kill(self, reason: str) -> None:
        log.error("worker %d %s; killing it", self._node, reason)
        self.send_signal(signal.SIGKILL)

    async def _talk(self, worker_process: WorkerProcess) -> None:
        """Send the settings, and take the answers until the worker ends."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # the worker has died; its exit code is logged
            await loop.sock_sendall(self._link, worker_process.pack())
            if await loop.sock_recv(self._link, len(READY)) != READY:
                return
            self.ready.set()
            self._on_ready()
            while await loop.sock_recv(self._link, _READ_BYTES):
                self._unanswered = 0

    async def _watch(self) -> None:
        """Kill the worker if it does not become ready, or does not answer any more."""
        try:
            async with asyncio.timeout(self._limits.start_s):
                await self.ready.wait()
        except TimeoutError:
            self._kill(f"was not ready after {self._limits.start_s:g} s")
            return
        loop = asyncio.get_running_loop()
        while self._unanswered < MAX_UNANSWERED:
            with contextlib.suppress(OSError):  # it has ended, or has its pings unread
                self._link.send(PING)
            slept_at_s = loop.time()
            await asyncio.sleep(PING_INTERVAL_S)
            # A machine that was suspended or is very busy delays this process too.
            if loop.time() - slept_at_s < 2 * PING_INTERVAL_S:
                self._unanswered += 1
        self._kill(f"has not answered for {MAX_UNANSWERED * PING_INTERVAL_S:g} s")
