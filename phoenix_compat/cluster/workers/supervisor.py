"""Starts the worker processes, restarts those that die or hang, and stops them.

The supervisor serves no clients. It reserves the port without listening, so that the server keeps
it while workers restart. Each worker listens on it with SO_REUSEPORT, and the kernel distributes
the connections. A worker that dies loses only its own connections, and is restarted after a pause
that doubles each time. If too many workers die in a short time, the server exits with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from phoenix_compat.cluster.workers.reservation import reserved
from phoenix_compat.cluster.workers.started_worker import StartedWorker, WorkerLimits
from phoenix_compat.cluster.workers.worker_process import WorkerProcess
from phoenix_compat.errors import ConfigError

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 30.0
START_TIMEOUT_PER_PROCESS_S: Final = 4.0
"""Added for each process that shares a processor with this one: all of them start at once."""
STOP_TIMEOUT_S: Final = 75.0
"""A drain takes at most 30 s, pending creates take 25 s, and callbacks and requests take some
seconds each; after that the worker gets SIGKILL. systemd kills all of them after 90 s."""
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0
MAX_DEATHS: Final = 10
DEATHS_WINDOW_S: Final = 60.0

_NOT_STARTED: Final = 127
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_WORKER_FLAG: Final = "--as-worker"


class WorkersFailedError(ConfigError):
    """The worker processes do not start, or die repeatedly; stderr has their messages."""


class Supervisor:
    """Runs several worker processes with the same command line.

    Args:
        arguments: the command and its options; each worker gets them with `--as-worker` appended.
        worker_process: what the workers share; each gets a copy with its own number.
        on_sighup: called at SIGHUP, after the signal was sent to the workers.
        settings: returns what each worker that starts gets as `WorkerProcess.settings`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        worker_process: WorkerProcess,
        on_sighup: Callable[[], None] = lambda: None,
        settings: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._command = (*_this_program(), *arguments, _WORKER_FLAG)
        self._worker_process = worker_process
        self._on_sighup = on_sighup
        self._settings = settings
        self._stop = asyncio.Event()
        self._deaths: deque[float] = deque()
        self._has_given_up = False
        self._hangups = 0
        self._running: dict[int, StartedWorker] = {}
        self._ready: list[asyncio.Event] = [asyncio.Event() for _ in range(worker_process.size)]
        per_processor = worker_process.size / (os.cpu_count() or 1)
        self._limits = WorkerLimits(
            start_s=START_TIMEOUT_S + START_TIMEOUT_PER_PROCESS_S * per_processor,
            stop_s=STOP_TIMEOUT_S,
        )

    async def run(self, started: Callable[[], None]) -> None:
        """Run until SIGTERM or SIGINT, and then until every worker has drained its clients.

        Args:
            started: called once all workers are ready.

        Raises:
            WorkersFailedError: the workers cannot start, or die repeatedly.
        """
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._forward_sighup)
        try:
            async with asyncio.TaskGroup() as group:
                for node in range(self._worker_process.size):
                    group.create_task(self._supervise_worker(node), name=f"worker-{node}")
                await self._wait_until_ready()
                if not self._stop.is_set():
                    started()
        finally:
            for number in (*_SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(number)
        if self._has_given_up:
            raise WorkersFailedError(
                "the worker processes do not start, or die repeatedly; see their messages above"
            )

    def _forward_sighup(self) -> None:
        """Send SIGHUP to the workers that are ready. Those that are starting have no handler for it
        yet, and get it when they are."""
        self._hangups += 1
        for worker in self._running.values():
            if worker.ready.is_set():
                worker.send_signal(signal.SIGHUP)
        self._on_sighup()

    async def _wait_until_ready(self) -> None:
        all_ready = asyncio.gather(*(ready.wait() for ready in self._ready))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            either: set[asyncio.Future[Any]] = {all_ready, stopped}
            # A worker that takes too long is killed, which ends the start.
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in (all_ready, stopped):
                future.cancel()
            await asyncio.gather(all_ready, stopped, return_exceptions=True)

    async def _supervise_worker(self, node: int) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            started_at_s = asyncio.get_running_loop().time()
            code = await self._run_worker(node)
            if self._stop.is_set():
                if code != 0:
                    log.error("worker %d exited with code %s while stopping", node, code)
                return
            log.error("worker %d exited unexpectedly with code %s", node, code)
            ended_at_s = asyncio.get_running_loop().time()
            if not self._ready[node].is_set() or self._are_deaths_too_many(ended_at_s):
                # A worker that was never ready would fail again.
                self._give_up()
                return
            pause_s = FIRST_PAUSE_S if ended_at_s - started_at_s > DEATHS_WINDOW_S else pause_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)
            pause_s = min(pause_s * 2, LAST_PAUSE_S)

    def _are_deaths_too_many(self, now_s: float) -> bool:
        self._deaths.append(now_s)
        while self._deaths[0] < now_s - DEATHS_WINDOW_S:
            self._deaths.popleft()
        return len(self._deaths) >= MAX_DEATHS

    def _give_up(self) -> None:
        self._has_given_up = True
        self._stop.set()

    async def _run_worker(self, node: int) -> int:
        """Run a worker until it exits; return its exit code."""
        worker_process = msgspec.structs.replace(
            self._worker_process, node=node, settings=self._settings()
        )
        hangups = self._hangups

        def ready() -> None:
            self._ready[node].set()
            if self._hangups != hangups:
                worker.send_signal(signal.SIGHUP)  # its settings may be those before a reload

        try:
            worker = await StartedWorker.start(self._command, worker_process, self._limits, ready)
        except OSError as error:
            log.error("cannot start worker %d: %s", node, error)  # noqa: TRY400 - not a bug
            return _NOT_STARTED
        self._running[node] = worker
        exited = asyncio.create_task(worker.wait())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({exited, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                await worker.stop()
            return await exited
        finally:
            self._running.pop(node, None)
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)


def _this_program() -> tuple[str, ...]:
    """The command that starts this program: the one-file binary, or Python with the package."""
    if getattr(sys, "frozen", False):
        return (sys.executable,)
    return (sys.executable, "-m", "phoenix_compat")


async def supervise(  # noqa: PLR0913, PLR0917 - the options of the commands
    arguments: Sequence[str],
    host: str,
    port: int,
    workers: int,
    started: Callable[[str], None],
    emulator_url: str | None = None,
    on_sighup: Callable[[], None] = lambda: None,
    *,
    emulator_token: str | None = None,
    control_token: str | None = None,
    settings: Callable[[], str | None] = lambda: None,
    data_dir: Path | None = None,
) -> None:
    """Run a command in several processes on one port, until SIGTERM or SIGINT.

    Args:
        arguments: the command and its options, as typed by the user.
        started: called with the URL once all processes are ready.
        emulator_url, emulator_token, control_token: see WorkerProcess.
        on_sighup, settings: see Supervisor.
        data_dir: see `reserved`.

    Raises:
        ConfigError: the address is not available, or the processes do not start or die repeatedly.
    """
    async with reserved(host, port, workers, data_dir) as first:
        worker_process = msgspec.structs.replace(
            first,
            emulator_url=emulator_url,
            emulator_token=emulator_token,
            control_token=control_token,
        )
        name = f"[{host}]" if ":" in host else host
        supervisor = Supervisor(arguments, worker_process, on_sighup, settings)
        await supervisor.run(lambda: started(f"http://{name}:{worker_process.port}"))
