"""The servers under test and the rulers, each a process of its own, pinned to the server's core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from tests.benchmarks.machine import ROOT, SERVER_CORE, pinned
from tests.benchmarks.rig import Rig
from tests.benchmarks.work import BenchError

START_S = 15.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens on the loopback."""

    port: int
    pid: int
    started_in_s: float


Serve: TypeAlias = Callable[[Rig], AbstractContextManager[Running]]
"""Starts a server, new for each run."""


@contextmanager
def reference_set(_rig: Rig) -> Iterator[Running]:
    """Our server with the reference channel set: events `echo` and `broadcast` on `room:*`."""
    port = free_port()
    command = [sys.executable, "-m", "phoenix_compat", "conformance", "serve", "--port", str(port)]
    with running(command, port) as server:
        yield server


@contextmanager
def c_server(rig: Rig) -> Iterator[Running]:
    """The minimal C server, with the writes of one tick joined."""
    port = free_port()
    with running([str(rig.tools.wslimit), str(port), "1"], port) as server:
        yield server


@contextmanager
def task_server(rig: Rig, **settings: object) -> Iterator[Running]:
    """The product, with the emulator, on a new database; settings by their names."""
    port = free_port()
    command = [sys.executable, "-m", "phoenix_compat", "serve", "--port", str(port)]
    named = {"data_dir": rig.new_folder(), "log_level": "error"} | settings
    environment = {f"PHOENIX_COMPAT_{name.upper()}": str(value) for name, value in named.items()}
    with running(command, port, environment) as server:
        yield server


def bench_app(kind: str) -> Serve:
    """One of the servers of `apps`."""

    @contextmanager
    def serve(rig: Rig) -> Iterator[Running]:
        port = free_port()
        own = ["-m", "tests.benchmarks.apps", kind, str(port), str(rig.new_folder())]
        with running([sys.executable, *own], port) as server:
            yield server

    return serve


@contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A server on its core, once it accepts connections; ended with the block.

    Raises:
        BenchError: it ends, or does not listen in time; with what it said.
    """
    with tempfile.TemporaryFile() as said:
        begin_s = time.perf_counter()
        server = subprocess.Popen(  # noqa: S603 - our own command line
            pinned(command, SERVER_CORE),
            stdout=said,
            stderr=said,
            cwd=ROOT,
            env=_without_ours(os.environ) | dict(environment or {}),
        )
        try:
            if not _listens(port, server):
                said.seek(0)
                text = said.read().decode(errors="replace")
                raise BenchError(f"{' '.join(command)} does not listen on port {port}:\n{text}")
            yield Running(port, server.pid, time.perf_counter() - begin_s)
        finally:
            _end(server)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """What is set for another server shall not change what is measured."""
    names = ("PHOENIX_COMPAT_", "REPLICATE_", "PUBLIC_URL")
    return {name: value for name, value in environment.items() if not name.startswith(names)}


def _listens(port: int, server: subprocess.Popen[bytes]) -> bool:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.005)
    return False


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
