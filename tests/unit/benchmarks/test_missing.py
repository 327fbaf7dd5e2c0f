"""The errors of the benchmarks when something that they need is missing."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import main
from tests.benchmarks.benchmark import BenchmarkError
from tests.benchmarks.machine import facts, pinned, raise_open_file_limit
from tests.benchmarks.servers import free_port, running
from tests.benchmarks.tools import Tools


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing is installed."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Without phxload.c the error says which folder to pass."""
    with pytest.raises(SystemExit) as caught:
        main(["core", "--quick", "--only", "echo", "--bench", str(tmp_path / "none")])

    assert f"{tmp_path}/none/phxload.c does not exist" in str(caught.value)
    assert "make bench BENCH=FOLDER" in str(caught.value)


@pytest.mark.usefixtures("bare_machine")
def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    """Without gcc the error says how to install it."""
    with pytest.raises(
        BenchmarkError, match="gcc is not installed; on Debian: apt-get install gcc"
    ):
        _ = Tools(tmp_path, tmp_path).httpload


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_source_that_does_not_compile_is_shown(tmp_path: Path) -> None:
    """The error includes the output of the compiler."""
    (tmp_path / "wslimit.c").write_text("int main(void) { return nonsense; }")

    with pytest.raises(BenchmarkError, match="nonsense"):
        _ = Tools(tmp_path, tmp_path).wslimit


@pytest.mark.usefixtures("bare_machine")
def test_a_missing_taskset_is_named() -> None:
    """Pinning to a core needs taskset."""
    with pytest.raises(BenchmarkError, match="taskset is not installed"):
        pinned(["true"], 0)


def test_one_core_is_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server and the load generator need a core each."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0}, raising=False)

    assert pinned(["true"], 0) == ["taskset", "-c", "0", "true"]
    with pytest.raises(BenchmarkError, match="core 1 is not available"):
        pinned(["true"], 1)


def test_the_limit_of_open_files_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit is raised to what is needed, and a lower hard limit too."""
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1_024, 4_096))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: raised.append(limits))

    for needed in (1_000, 4_000, 10_000):
        raise_open_file_limit(needed)

    assert raised == [(4_000, 4_096), (10_000, 10_000)]


def test_a_limit_that_cannot_be_raised_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has both numbers and says what to do."""

    def refuse(_which: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1_024, 4_096))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    with pytest.raises(
        BenchmarkError, match="10500 open files are needed, but only 4096 are allowed"
    ):
        raise_open_file_limit(10_500)


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")
def test_a_server_that_ends_is_quoted() -> None:
    """When a server does not start, the error includes its output."""
    command = [sys.executable, "-c", "raise SystemExit('the port is taken')"]

    with (
        pytest.raises(BenchmarkError, match="the port is taken"),
        running(command, free_port()),
    ):
        pass


@pytest.mark.usefixtures("bare_machine")
def test_facts_are_known_without_git() -> None:
    """Without git the commit is None and the other facts are known."""
    found = facts()

    assert found["commit"] is None
    assert found["cpu"]
    assert found["cores"] == os.cpu_count()
