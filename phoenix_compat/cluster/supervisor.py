"""The supervisor: starts the workers, keeps them up, and ends with them.

It serves nobody. It holds the port without listening, so that it stays ours while workers come and
go; each worker listens on it with SO_REUSEPORT, and the kernel spreads the connections. A worker
that dies takes only its own connections with it, and is started again after a pause that doubles;
when too many die in a short time the server gives up, so that whoever runs it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from phoenix_compat.accept import explain_bind_error
from phoenix_compat.background import log_failure
from phoenix_compat.cluster.worker_process import READY, WorkerProcess
from phoenix_compat.errors import ConfigError

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 90.0
"""A drain lasts at most 30 s, orders that are being placed 25 s, and callbacks and requests have
some seconds each; then SIGKILL."""
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0
MAX_DEATHS: Final = 10
DEATHS_WINDOW_S: Final = 60.0

_NOT_STARTED: Final = 127
_SECRET_BYTES: Final = 48
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_WORKER_FLAG: Final = "--as-worker"


class WorkersFailedError(ConfigError):
    """The workers do not start, or do not stay; their own words are on stderr."""


class Supervisor:
    """Runs so many workers with one command line.

    Args:
        arguments: the command and its options; each worker gets them with `--as-worker` behind.
        worker process: what the workers share; each gets it with its own number.
        hung_up: called at SIGHUP, when the workers have been sent it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        worker_process: WorkerProcess,
        hung_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._command = (*_this_program(), *arguments, _WORKER_FLAG)
        self._worker_process = worker_process
        self._hung_up = hung_up
        self._stop = asyncio.Event()
        self._deaths: deque[float] = deque()
        self._is_given_up = False
        self._serving: dict[int, asyncio.subprocess.Process] = {}
        self._ready: list[asyncio.Event] = [asyncio.Event() for _ in range(worker_process.size)]

    async def run(self, started: Callable[[], None]) -> None:
        """Run until SIGTERM or SIGINT, and then until every worker has drained its clients.

        Args:
            started: called once all workers serve.

        Raises:
            WorkersFailedError: they cannot start, or die again and again.
        """
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            async with asyncio.TaskGroup() as group:
                for node in range(self._worker_process.size):
                    group.create_task(self._keep_up(node), name=f"worker-{node}")
                await self._until_all_are_ready()
                if not self._stop.is_set():
                    started()
        finally:
            for number in (*_SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(number)
        if self._is_given_up:
            raise WorkersFailedError("the worker processes do not stay up; see above")

    def _hang_up(self) -> None:
        """Hand SIGHUP on to those that serve; one that still starts would end of it, and reads the
        settings anyway."""
        for process in self._serving.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)
        self._hung_up()

    async def _until_all_are_ready(self) -> None:
        all_ready = asyncio.gather(*(ready.wait() for ready in self._ready))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            either: set[asyncio.Future[Any]] = {all_ready, stopped}
            await asyncio.wait(either, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not (all_ready.done() or stopped.done()):
                log.error("not all workers were ready after %s s", START_TIMEOUT_S)
                self._give_up()
        finally:
            for waiting in (all_ready, stopped):
                waiting.cancel()
            await asyncio.gather(all_ready, stopped, return_exceptions=True)

    async def _keep_up(self, node: int) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            began_s = asyncio.get_running_loop().time()
            code = await self._live(node)
            if self._stop.is_set():
                if code != 0:
                    log.error("worker %d ended with %s at the stop", node, code)
                return
            log.error("worker %d ended by itself with %s", node, code)
            ended_s = asyncio.get_running_loop().time()
            if not self._ready[node].is_set() or self._dies_too_often(ended_s):
                # One that never came up will not do so the next time either.
                self._give_up()
                return
            pause_s = FIRST_PAUSE_S if ended_s - began_s > DEATHS_WINDOW_S else pause_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)
            pause_s = min(pause_s * 2, LAST_PAUSE_S)

    def _dies_too_often(self, now_s: float) -> bool:
        self._deaths.append(now_s)
        while self._deaths[0] < now_s - DEATHS_WINDOW_S:
            self._deaths.popleft()
        return len(self._deaths) >= MAX_DEATHS

    def _give_up(self) -> None:
        self._is_given_up = True
        self._stop.set()

    async def _live(self, node: int) -> int:
        """One life of a worker: its exit code."""
        line, theirs = socket.socketpair()
        line.settimeout(0)
        with line:
            try:
                with theirs:
                    process = await asyncio.create_subprocess_exec(
                        *self._command, stdin=theirs.fileno()
                    )
            except OSError as error:
                log.error("worker %d cannot be started: %s", node, error)  # noqa: TRY400 - no bug
                return _NOT_STARTED
            worker_process = msgspec.structs.replace(self._worker_process, node=node)
            watching = asyncio.create_task(
                self._watch(line, worker_process, process), name=f"supervisor_link-{node}"
            )
            watching.add_done_callback(log_failure)
            ended = asyncio.create_task(process.wait())
            stopping = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    await _end(process)
                return await ended
            finally:
                self._serving.pop(node, None)
                for task in (watching, stopping):
                    task.cancel()
                await asyncio.gather(watching, stopping, return_exceptions=True)

    async def _watch(
        self,
        line: socket.socket,
        worker_process: WorkerProcess,
        process: asyncio.subprocess.Process,
    ) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # it has died; its exit code says how
            await loop.sock_sendall(line, worker_process.pack())
            if await loop.sock_recv(line, len(READY)) == READY:
                self._serving[worker_process.node] = process
                self._ready[worker_process.node].set()


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        log.error("a worker does not stop, and is killed")  # noqa: TRY400 - no bug of ours
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _this_program() -> tuple[str, ...]:
    """What starts this program again: itself when it is one file, else Python with the package."""
    if getattr(sys, "frozen", False):
        return (sys.executable,)
    return (sys.executable, "-m", "phoenix_compat")


async def supervise(  # noqa: PLR0913, PLR0917 - what the commands were given
    arguments: Sequence[str],
    host: str,
    port: int,
    workers: int,
    started: Callable[[str], None],
    emulator_url: str | None = None,
    hung_up: Callable[[], None] = lambda: None,
) -> None:
    """Run a command in so many processes on one port, until SIGTERM or SIGINT.

    Args:
        arguments: the command and its options, as they were typed.
        started: called with the URL once all processes serve.
        emulator_url: see WorkerProcess.
        hung_up: see Supervisor.

    Raises:
        ConfigError: the address cannot be had, or the processes do not start or stay.
    """
    async with reserved(host, port, workers) as first:
        worker_process = msgspec.structs.replace(first, emulator_url=emulator_url)
        name = f"[{host}]" if ":" in host else host
        supervisor = Supervisor(arguments, worker_process, hung_up)
        await supervisor.run(lambda: started(f"http://{name}:{worker_process.port}"))


@asynccontextmanager
async def reserved(host: str, port: int, size: int) -> AsyncIterator[WorkerProcess]:
    """Take a port and a folder for the sockets of `size` workers; the first of their worker
    processes.

    Raises:
        ConfigError: there is no such address, the port is taken, or this system cannot share one.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("workers: this system cannot share a port between processes; use 1")
    holder = await asyncio.to_thread(_reserve, host, port)
    with holder:
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="phoenix-compat-")
        try:
            yield WorkerProcess(
                node=0,
                size=size,
                folder=folder,
                port=holder.getsockname()[1],
                secret_key_base=secrets.token_urlsafe(_SECRET_BYTES),
            )
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _reserve(host: str, port: int) -> socket.socket:
    """A socket that holds the port and does not listen; blocking."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as alone:
            # A second server with workers could share the port too; so ask first for all of it.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
            alone.bind(address)
            address = alone.getsockname()
        with contextlib.ExitStack() as undone:
            holder = undone.enter_context(socket.socket(family, kind))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind(address)
            undone.pop_all()
    except (OSError, UnicodeError) as error:
        raise ConfigError(explain_bind_error(host, port, error)) from error
    return holder
