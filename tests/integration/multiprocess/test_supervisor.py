"""The supervisor, with worker processes that misbehave."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from phoenix_compat.cluster import WorkerProcess, supervisor
from phoenix_compat.cluster.supervisor import Supervisor, WorkersFailedError, reserved

_PRELUDE = """
import json, os, signal, socket, sys, time
line = socket.socket(fileno=0)
worker_process = json.loads(line.makefile("rb").readline())
def ready(): line.send(b"ready\\n")
def note(): open(sys.argv[1], "a").write(f"{worker_process['node']} ")
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The file in which the workers of a test write their numbers."""
    return tmp_path / "notes"


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the supervisor's pauses and limits small."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(supervisor, "LAST_PAUSE_S", 0.001)
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT_S", 0.3)
    monkeypatch.setattr(supervisor, "MAX_DEATHS", 4)


def workers(
    monkeypatch: pytest.MonkeyPatch, notes: Path, script: str, worker_process: WorkerProcess
) -> Supervisor:
    """A supervisor whose workers run this script."""
    command = (sys.executable, "-c", _PRELUDE + script, str(notes))
    monkeypatch.setattr(supervisor, "_this_program", lambda: command)
    return Supervisor((), worker_process)


async def test_workers_that_die_again_and_again_end_the_server(
    monkeypatch: pytest.MonkeyPatch, notes: Path, short_pauses: None
) -> None:
    """They are restarted a limited number of times; then all end, and the error says so."""
    del short_pauses
    started: list[bool] = []
    async with reserved("127.0.0.1", 0, 2) as worker_process:
        script = "note(); ready(); sys.exit(3) if worker_process['node'] else time.sleep(60)"
        scripted = workers(monkeypatch, notes, script, worker_process)

        with pytest.raises(WorkersFailedError, match="die repeatedly"):
            await scripted.run(lambda: started.append(True))

    starts = (await asyncio.to_thread(notes.read_text)).split()
    assert starts.count("1") == 4
    assert starts.count("0") == 1


async def test_a_worker_that_never_comes_up_ends_the_server(
    monkeypatch: pytest.MonkeyPatch, notes: Path, short_pauses: None
) -> None:
    """A worker that ends before it is ready is not restarted; the server does not start."""
    del short_pauses
    started: list[bool] = []
    async with reserved("127.0.0.1", 0, 2) as worker_process:
        script = "note(); sys.exit(2) if worker_process['node'] else time.sleep(60)"
        scripted = workers(monkeypatch, notes, script, worker_process)

        with pytest.raises(WorkersFailedError):
            await scripted.run(lambda: started.append(True))

    assert started == []
    assert (await asyncio.to_thread(notes.read_text)).split().count("1") == 1


async def test_a_worker_that_does_not_stop_is_killed(
    monkeypatch: pytest.MonkeyPatch, notes: Path, short_pauses: None
) -> None:
    """After SIGTERM and a timeout it gets SIGKILL; the folder of the sockets is removed."""
    del short_pauses
    async with reserved("127.0.0.1", 0, 2) as worker_process:
        script = (
            "signal.signal(signal.SIGTERM, lambda *_: note()); ready(); \nwhile 1: time.sleep(60)"
        )
        scripted = workers(monkeypatch, notes, script, worker_process)

        await scripted.run(lambda: os.kill(os.getpid(), signal.SIGTERM))

        assert worker_process.path.is_dir()
    assert sorted((await asyncio.to_thread(notes.read_text)).split()) == ["0", "1"]
    assert not worker_process.path.exists()


async def test_a_missing_program_ends_the_server(
    monkeypatch: pytest.MonkeyPatch, short_pauses: None
) -> None:
    """A command that cannot be run is reported like any other failed start."""
    del short_pauses
    monkeypatch.setattr(supervisor, "_this_program", lambda: ("/nowhere/python",))
    async with reserved("127.0.0.1", 0, 2) as worker_process:
        with pytest.raises(WorkersFailedError):
            await Supervisor((), worker_process).run(lambda: None)
