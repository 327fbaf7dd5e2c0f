"""The command that counts false accusations starts servers, runs the suite, and counts."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conformance.accusations import servers
from tests.conformance.accusations.__main__ import main
from tests.conformance.accusations.servers import StartError, busy, started
from tests.conformance.accusations.tally import Tally
from tests.patience import patient

LISTEN = "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1]))); "


def python(code: str) -> str:
    """A shell command that runs this code with the port."""
    return f"{shlex.join([sys.executable, '-c', code])} {{port}}"


def verdict(outcome: str, plays: int = 1) -> dict[str, Any]:
    """A case in a report."""
    return {"id": "join/ok", "transport": "websocket", "outcome": outcome, "plays": plays}


def report(*cases: dict[str, Any], factor: float = 1.0) -> dict[str, Any]:
    """A report of the suite."""
    return {"cases": list(cases), "time_factor": factor, "took_s": 1.5}


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["passed", "failed as expected"], 0),
        (["passed", "could not be judged"], 3),
        (["could not be judged", "failed"], 1),
        (["passed unexpectedly"], 1),
    ],
)
def test_the_tally_counts_accusations(outcomes: list[str], code: int) -> None:
    """Failures and unexpected passes accuse; what could not be judged does not."""
    tally = Tally()

    tally.add(report(*map(verdict, outcomes)))

    assert tally.exit_code == code


def test_the_tally_names_the_cases() -> None:
    """Each run is a line, and the sum has the cases that did not simply pass."""
    tally = Tally()
    line = tally.add(report(verdict("passed", 2), verdict("failed", 3), factor=2.5))
    tally.add(report(verdict("failed", 3)))

    assert line == "2 cases, 1 failed, 0 not judged, 1 passed only alone, factor 2.5, 1.5 s"
    assert tally.lines() == [
        "2 runs, 3 verdicts, 8 plays, highest factor 2.5",
        "failed: 2",
        "  2x join/ok websocket",
        "could not be judged: 0",
        "failed among others, and passed alone: 1",
        "  1x join/ok websocket",
    ]


@pytest.mark.parametrize("end", ["", " >/dev/null & echo $!"])
def test_a_server_is_started_and_ended(end: str) -> None:
    """One that runs in the foreground, and one whose command prints its number and exits."""
    with started(f"{python(f'{LISTEN} time.sleep(600)')}{end}") as url:
        address = urlsplit(url).hostname, urlsplit(url).port
        socket.create_connection(address).close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_a_server_whose_number_comes_late_is_ended() -> None:
    """Its command sees that the port is open, as we do, and prints the number only then."""
    serve = python(f"{LISTEN} time.sleep(600)")
    with started(f"setsid {serve} >/dev/null & sleep 0.5; echo $!") as url:
        address = urlsplit(url).hostname, urlsplit(url).port
        ends_at_s = time.monotonic() + patient(10.0)
        while not any(map(_has_ended, _children())):
            assert time.monotonic() < ends_at_s
            time.sleep(0.02)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


@pytest.mark.parametrize(
    ("command", "reason"),
    [("exit 7", "exit code 7"), (f"{python(f'{LISTEN} time.sleep(9)')} >/dev/null &", "number")],
)
def test_a_server_that_does_not_start_is_an_error(
    command: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text says why, and the exit code is 2."""
    code = main(["--start", command, "--runs", "1"])

    assert code == 2
    assert reason in capsys.readouterr().err


def test_nothing_that_listens_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a limit."""
    monkeypatch.setattr(servers, "START_LIMIT_S", 0.3)

    with pytest.raises(StartError, match="nothing listened on port"), started("sleep 600"):
        pass


def test_busy_processes_end() -> None:
    """They run as long as the block."""
    with busy(2):
        during = _children()
    after = _children()

    assert len(during) - len(after) == 2


def _children() -> list[str]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [pid for task in tasks for pid in (task / "children").read_text().split()]


def _has_ended(pid: str) -> bool:
    """Whether this child only waits for us to read its exit code."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("kind", [[], pytest.param(["--warm"], marks=pytest.mark.long)])
def test_the_reference_server_is_accused_of_nothing(
    kind: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that is started afresh for each run, or once for all."""
    serve = shlex.join([sys.executable, "-m", "phoenix_compat", "conformance", "serve"])
    start = f"exec {serve} --port {{port}} >/dev/null"
    arguments = ["--start", start, "--runs", "1", "--keep", str(tmp_path), "--busy", "1"]

    code = main([*arguments, *kind, "--only", "heartbeat", "--transport", "websocket"])

    out = capsys.readouterr().out.splitlines()
    assert code == 0, out
    assert out[0].startswith("run 1: ")
    assert out[1].startswith("1 runs, ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-1.json"]
