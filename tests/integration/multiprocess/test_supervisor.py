"""The supervisor, with worker processes that misbehave."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phoenix_compat.cluster.workers import WorkerProcess, started_worker, supervisor
from phoenix_compat.cluster.workers.reservation import reserved
from phoenix_compat.cluster.workers.supervisor import Supervisor, WorkersFailedError
from tests.patience import patient

_PRELUDE = """
import json, os, signal, socket, sys, time
line = socket.socket(fileno=0)
worker_process = json.loads(line.makefile("rb").readline())
def ready(): line.send(b"ready\\n")
def answer():
    while pings := line.recv(100): line.send(pings)
def note(): open(sys.argv[1], "a").write(f"{worker_process['node']} ")
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The file in which the workers of a test write their numbers."""
    path = tmp_path / "notes"
    path.touch()
    return path


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the supervisor's pauses and limits small."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(supervisor, "LAST_PAUSE_S", 0.001)
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT_S", 0.3)
    monkeypatch.setattr(supervisor, "MAX_DEATHS", 4)
    monkeypatch.setattr(started_worker, "PING_INTERVAL_S", 0.05)


def workers(
    monkeypatch: pytest.MonkeyPatch,
    notes: Path,
    script: str,
    worker_process: WorkerProcess,
    settings: Callable[[], str | None] = lambda: None,
) -> Supervisor:
    """A supervisor whose workers run this script."""
    command = (sys.executable, "-c", _PRELUDE + script, str(notes))
    monkeypatch.setattr(supervisor, "_this_program", lambda: command)
    return Supervisor((), worker_process, settings=settings)


async def run_until(scripted: Supervisor, is_done: Callable[[], bool]) -> None:
    """Run until a condition holds, and then stop as at SIGTERM."""

    async def stop_when_done() -> None:
        async with asyncio.timeout(patient(30.0)):
            while not is_done():  # noqa: ASYNC110 - another process changes a file
                await asyncio.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.TaskGroup() as group:
        group.create_task(stop_when_done())
        await scripted.run(lambda: None)


def text_of(notes: Path) -> str:
    """What the workers have written."""
    return notes.read_text()


async def test_workers_that_die_again_and_again_end_the_server(
    monkeypatch: pytest.MonkeyPatch, notes: Path, short_pauses: None
) -> None:
    """They are restarted a limited number of times; then all end, and the error says so."""
    del short_pauses
    started: list[bool] = []
    async with reserved("127.0.0.1", 0, 2) as worker_process:
        script = "note(); ready(); sys.exit(3) if worker_process['node'] else answer()"
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


async def test_a_worker_that_hangs_is_replaced(
    monkeypatch: pytest.MonkeyPatch, notes: Path, short_pauses: None
) -> None:
    """E3: a worker that is ready and answers no ping gets SIGKILL, and another takes its place."""
    del short_pauses
    async with reserved("127.0.0.1", 0, 2) as worker_process:
        script = (
            "import pathlib\n"
            "is_first = '1' not in pathlib.Path(sys.argv[1]).read_text()\n"
            "if worker_process['node']: note()\n"
            "ready()\n"
            "if worker_process['node'] and is_first: os.kill(os.getpid(), signal.SIGSTOP)\n"
            "answer()"
        )
        scripted = workers(monkeypatch, notes, script, worker_process)

        await run_until(scripted, lambda: text_of(notes).split().count("1") == 2)

    assert text_of(notes).split() == ["1", "1"]


async def test_a_restarted_worker_that_hangs_at_its_start_is_replaced(
    monkeypatch: pytest.MonkeyPatch, notes: Path, short_pauses: None
) -> None:
    """D5: the limit for a start holds for every start, not only for the first."""
    del short_pauses
    monkeypatch.setattr(supervisor, "START_TIMEOUT_S", patient(1.0))
    monkeypatch.setattr(supervisor, "START_TIMEOUT_PER_PROCESS_S", 0.0)
    async with reserved("127.0.0.1", 0, 1) as worker_process:
        script = (
            "import pathlib\n"
            "number = len(pathlib.Path(sys.argv[1]).read_text().split())\n"
            "note()\n"
            "if number == 1: time.sleep(600)\n"
            "ready()\n"
            "if number == 0: sys.exit(1)\n"
            "answer()"
        )
        scripted = workers(monkeypatch, notes, script, worker_process)

        await run_until(scripted, lambda: len(text_of(notes).split()) == 3)

    assert text_of(notes).split() == ["0", "0", "0"]


async def test_a_stopped_worker_does_not_delay_the_end(
    monkeypatch: pytest.MonkeyPatch, notes: Path, short_pauses: None
) -> None:
    """E3: at SIGTERM a worker that answers no ping is killed before the limit for stopping."""
    del short_pauses
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT_S", 600.0)
    async with reserved("127.0.0.1", 0, 1) as worker_process:
        script = "note(); ready(); os.kill(os.getpid(), signal.SIGSTOP)"
        scripted = workers(monkeypatch, notes, script, worker_process)

        async with asyncio.timeout(patient(20.0)):
            await run_until(scripted, lambda: text_of(notes) != "")


async def test_every_worker_gets_the_settings_of_its_supervisor(
    monkeypatch: pytest.MonkeyPatch, notes: Path, short_pauses: None
) -> None:
    """E1: a restarted worker gets the settings that are kept, and none is on its command line."""
    del short_pauses
    kept = ["first"]
    async with reserved("127.0.0.1", 0, 1) as worker_process:
        script = (
            "assert 'first' not in sys.argv\n"
            "open(sys.argv[1], 'a').write(worker_process['settings'] + ' ')\n"
            "ready()\n"
            "if worker_process['settings'] == 'first': sys.exit(1)\n"
            "answer()"
        )

        def settings() -> str:
            now = kept[-1]
            kept.append("second")
            return now

        scripted = workers(monkeypatch, notes, script, worker_process, settings)

        await run_until(scripted, lambda: "second" in text_of(notes))

    assert text_of(notes).split() == ["first", "second"]
