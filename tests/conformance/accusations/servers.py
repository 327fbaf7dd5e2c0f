"""Starts the server under test afresh, and processes that keep the machine busy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final

START_LIMIT_S: Final = 120.0
_STOP_LIMIT_S: Final = 10.0
_LOOK_S: Final = 0.1
_BUSY: Final = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""It ends with whoever has started it, however that ends."""


class StartError(Exception):
    """The server did not start; the text says why and what to do."""


def free_port() -> int:
    """A port of the loopback that nothing uses."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(command: str) -> Iterator[str]:
    """Start a server and yield its URL as soon as its port accepts connections.

    Args:
        command: for a shell, with `{port}`. It runs until it is ended with SIGTERM, or it prints
            the number of the process to end, and exits.

    Raises:
        StartError: it ended, or nothing listened in time.
    """
    port = free_port()
    process = subprocess.Popen(  # noqa: S602 - the user's own command
        command.replace("{port}", str(port)),
        shell=True,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    pid: int | None = None
    try:
        pid = _wait_until_listening(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process, pid, port)


def _wait_until_listening(process: subprocess.Popen[str], port: int) -> int | None:
    """Returns the number that the command printed if it has exited, otherwise None."""
    ends_at_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < ends_at_s:
        code = process.poll()
        if _is_listening(port):
            return None if process.poll() is None else _printed_pid(process)
        if code:
            raise StartError(f"the command to start the server ended with exit code {code}")
        time.sleep(_LOOK_S)
    raise StartError(
        f"nothing listened on port {port} within {START_LIMIT_S:g} s; "
        "write the port as {port} in the command"
    )


def _printed_pid(process: subprocess.Popen[str]) -> int:
    pid = _last_number(process)
    if pid is None:
        raise StartError(
            "the command to start the server exited and printed no process number; "
            "let it run in the foreground, or print the number last"
        )
    return pid


def _last_number(process: subprocess.Popen[str]) -> int | None:
    """The number that a command which has exited printed last."""
    assert process.stdout is not None
    words = process.stdout.read().split()
    return int(words[-1]) if words and words[-1].isdigit() else None


def _end(process: subprocess.Popen[str], pid: int | None, port: int) -> None:
    """End what was started: the process group of the command, and the process that it named."""
    if pid is None and process.poll() is not None:
        pid = _last_number(process)  # it was printed after the port had opened
    _signal(process, pid, signal.SIGTERM)
    ends_at_s = time.monotonic() + _STOP_LIMIT_S
    while _is_listening(port) or process.poll() is None:
        if time.monotonic() > ends_at_s:
            _signal(process, pid, signal.SIGKILL)
            process.wait()
            break
        time.sleep(_LOOK_S)
    if process.stdout is not None:
        process.stdout.close()


def _signal(process: subprocess.Popen[str], pid: int | None, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Keep so many processors busy, each with a process that only counts."""
    processes = [
        subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.DEVNULL)  # noqa: S603 - ours
        for _process in range(number)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
