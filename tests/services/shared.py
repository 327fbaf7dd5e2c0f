"""One server for all processes of a test run: the first that needs it starts it.

Each user holds a shared lock of a file, which the kernel drops with its process. A guard process
has the server as its child, waits until it gets the lock for itself, and then ends the server. So
it ends with its last user, however that one has ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.patience import patient
from tests.services.programs import free_port

_START_S: Final = 20.0
_GUARD: Final = """
import fcntl, os, shutil, signal, subprocess, sys
users, state, stop_signal, folder, *command = sys.argv[1:]
server = subprocess.Popen(command)
with open(users) as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        os.unlink(state)
    except FileNotFoundError:
        pass
    server.send_signal(int(stop_signal))
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
"""


@dataclass(frozen=True)
class Start:
    """How a server is started.

    Attributes:
        command: the program and its arguments; it must stay in the foreground.
        stop_signal: ends it.
        folder: is deleted after its end; None if it needs none but the one that it got.
    """

    command: Sequence[str]
    stop_signal: int
    folder: Path | None = None


@contextmanager
def shared_server(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    prepare: Callable[[Path, int], Start],
    is_ready: Callable[[int], bool],
) -> Iterator[int]:
    """The port of the one server of this name, for the time of the block.

    Args:
        prepare: makes what the server needs in an empty folder, and says how to start it on a port.
        is_ready: whether the server on a port answers.
    """
    folder = service_folder(tmp_path_factory, name)
    users, state = folder / "users.lock", folder / "state.json"
    with users.open("a") as in_use:
        with (folder / "start.lock").open("a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(in_use, fcntl.LOCK_SH)
            if not state.exists():
                _start(folder, users, state, prepare, is_ready)
        yield int(json.loads(state.read_text())["port"])


def _start(
    folder: Path,
    users: Path,
    state: Path,
    prepare: Callable[[Path, int], Start],
    is_ready: Callable[[int], bool],
) -> None:
    data = folder / f"data-{time.monotonic_ns()}"
    data.mkdir()
    port = free_port()
    start = prepare(data, port)
    arguments = (users, state, int(start.stop_signal), start.folder or "")
    guard_command = (sys.executable, "-I", "-S", "-c", _GUARD, *map(str, arguments))
    with (folder / "log").open("ab") as log:
        guard = subprocess.Popen(  # noqa: S603 - our own command
            (*guard_command, *start.command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C is for the tests, which still use the server
        )
    deadline = time.monotonic() + patient(_START_S)
    while not is_ready(port):
        if time.monotonic() > deadline:
            guard.kill()
            text = (folder / "log").read_text(errors="replace")
            raise RuntimeError(f"the server {folder.name} did not start:\n{text}")
        time.sleep(0.02)
    state.write_text(json.dumps({"port": port}))
    # It outlives this process if others still use the server.
    guard.returncode = 0


def service_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """The folder of a service, the same in all processes of this run of the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / f"service-{name}"
    folder.mkdir(exist_ok=True)
    return folder
