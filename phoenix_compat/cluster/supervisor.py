"""Starts the worker processes, restarts those that die, and stops them.

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
from phoenix_compat.redaction import live_secrets

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 90.0
"""A drain takes at most 30 s, pending creates take 25 s, and callbacks and requests take some
seconds each; after that the worker gets SIGKILL."""
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0
MAX_DEATHS: Final = 10
DEATHS_WINDOW_S: Final = 60.0

_NOT_STARTED: Final = 127
_SECRET_BYTES: Final = 48
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
    """

    def __init__(
        self,
        arguments: Sequence[str],
        worker_process: WorkerProcess,
        on_sighup: Callable[[], None] = lambda: None,
    ) -> None:
        self._command = (*_this_program(), *arguments, _WORKER_FLAG)
        self._worker_process = worker_process
        self._on_sighup = on_sighup
        self._stop = asyncio.Event()
        self._deaths: deque[float] = deque()
        self._has_given_up = False
        self._serving: dict[int, asyncio.subprocess.Process] = {}
        self._ready: list[asyncio.Event] = [asyncio.Event() for _ in range(worker_process.size)]

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
        """Send SIGHUP to the workers that are ready. A worker that is still starting has no handler
        for it yet, and reads the settings anyway."""
        for process in self._serving.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)
        self._on_sighup()

    async def _wait_until_ready(self) -> None:
        all_ready = asyncio.gather(*(ready.wait() for ready in self._ready))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            either: set[asyncio.Future[Any]] = {all_ready, stopped}
            await asyncio.wait(either, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not (all_ready.done() or stopped.done()):
                log.error("not all workers were ready after %s s", START_TIMEOUT_S)
                self._give_up()
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
        parent_socket, worker_socket = socket.socketpair()
        parent_socket.settimeout(0)
        with parent_socket:
            try:
                with worker_socket:
                    process = await asyncio.create_subprocess_exec(
                        *self._command, stdin=worker_socket.fileno()
                    )
            except OSError as error:
                log.error("cannot start worker %d: %s", node, error)  # noqa: TRY400 - not a bug
                return _NOT_STARTED
            worker_process = msgspec.structs.replace(self._worker_process, node=node)
            starting = asyncio.create_task(
                self._wait_until_worker_ready(parent_socket, worker_process, process),
                name=f"supervisor_link-{node}",
            )
            starting.add_done_callback(log_failure)
            exited = asyncio.create_task(process.wait())
            stopping = asyncio.create_task(self._stop.wait())
            try:
                await asyncio.wait({exited, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not exited.done():
                    await _terminate(process)
                return await exited
            finally:
                self._serving.pop(node, None)
                for task in (starting, stopping):
                    task.cancel()
                await asyncio.gather(starting, stopping, return_exceptions=True)

    async def _wait_until_worker_ready(
        self,
        parent_socket: socket.socket,
        worker_process: WorkerProcess,
        process: asyncio.subprocess.Process,
    ) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # the worker has died; its exit code is logged
            await loop.sock_sendall(parent_socket, worker_process.pack())
            if await loop.sock_recv(parent_socket, len(READY)) == READY:
                self._serving[worker_process.node] = process
                self._ready[worker_process.node].set()


async def _terminate(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        log.error("a worker did not stop in %g s; killing it", STOP_TIMEOUT_S)  # noqa: TRY400 - not a bug
        with contextlib.suppress(ProcessLookupError):
            process.kill()


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
) -> None:
    """Run a command in several processes on one port, until SIGTERM or SIGINT.

    Args:
        arguments: the command and its options, as typed by the user.
        started: called with the URL once all processes are ready.
        emulator_url, emulator_token, control_token: see WorkerProcess.
        on_sighup: see Supervisor.

    Raises:
        ConfigError: the address is not available, or the processes do not start or die repeatedly.
    """
    async with reserved(host, port, workers) as first:
        worker_process = msgspec.structs.replace(
            first,
            emulator_url=emulator_url,
            emulator_token=emulator_token,
            control_token=control_token,
        )
        name = f"[{host}]" if ":" in host else host
        supervisor = Supervisor(arguments, worker_process, on_sighup)
        await supervisor.run(lambda: started(f"http://{name}:{worker_process.port}"))


@asynccontextmanager
async def reserved(host: str, port: int, size: int) -> AsyncIterator[WorkerProcess]:
    """Reserve a port, and create the folder for the sockets of `size` workers.

    Yields:
        The WorkerProcess of the first worker, with node 0.

    Raises:
        ConfigError: the address is unknown, the port is taken, or this system cannot share a port.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("workers: this system cannot share a port between processes; use 1")
    reservation = await asyncio.to_thread(reserve_port, host, port)
    with reservation:
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="phoenix-compat-")
        secret_key_base = secrets.token_urlsafe(_SECRET_BYTES)
        live_secrets.register(secret_key_base)
        try:
            yield WorkerProcess(
                node=0,
                size=size,
                folder=folder,
                port=reservation.getsockname()[1],
                secret_key_base=secret_key_base,
            )
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def reserve_port(host: str, port: int) -> socket.socket:
    """Bind a socket to the port without listening; blocking.

    Raises:
        ConfigError: the address cannot be used.
    """
    try:
        family, socket_type, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket_type) as exclusive:
            # Without SO_REUSEPORT this fails if another server with workers has the port.
            exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
            exclusive.bind(address)
            address = exclusive.getsockname()
        with contextlib.ExitStack() as on_error:
            reservation = on_error.enter_context(socket.socket(family, socket_type))
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reservation.bind(address)
            on_error.pop_all()
    except (OSError, UnicodeError) as error:
        raise ConfigError(explain_bind_error(host, port, error)) from error
    return reservation
