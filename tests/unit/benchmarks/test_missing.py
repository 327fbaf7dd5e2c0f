"""What the benchmarks say when something they need is not there."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import main
from tests.benchmarks.machine import facts, pinned, raise_open_file_limit
from tests.benchmarks.servers import free_port, running
from tests.benchmarks.tools import Tools
from tests.benchmarks.work import BenchError


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing is installed."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Without phxload.c the run ends with a sentence that says which folder to name."""
    with pytest.raises(SystemExit) as caught:
        main(["core", "--quick", "--only", "echo", "--bench", str(tmp_path / "none")])

    assert f"there is no {tmp_path}/none/phxload.c" in str(caught.value)
    assert "make bench BENCH=FOLDER" in str(caught.value)


@pytest.mark.usefixtures("bare_machine")
def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    """Without gcc the error says how to get it."""
    with pytest.raises(BenchError, match="gcc is not installed; on Debian: apt-get install gcc"):
        _ = Tools(tmp_path, tmp_path).httpload


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_source_that_does_not_compile_is_shown(tmp_path: Path) -> None:
    """What the compiler says is passed on."""
    (tmp_path / "wslimit.c").write_text("int main(void) { return nonsense; }")

    with pytest.raises(BenchError, match="nonsense"):
        _ = Tools(tmp_path, tmp_path).wslimit


@pytest.mark.usefixtures("bare_machine")
def test_a_missing_taskset_is_named() -> None:
    """Without taskset nothing can be pinned."""
    with pytest.raises(BenchError, match="taskset is not installed"):
        pinned(["true"], 0)


def test_one_core_is_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Server and load on one core would measure each other."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0}, raising=False)

    assert pinned(["true"], 0) == ["taskset", "-c", "0", "true"]
    with pytest.raises(BenchError, match="core 1 may not be used"):
        pinned(["true"], 1)


def test_the_limit_of_open_files_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit rises to what is needed; a hard one that is lower is raised too."""
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1_024, 4_096))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: raised.append(limits))

    for needed in (1_000, 4_000, 10_000):
        raise_open_file_limit(needed)

    assert raised == [(4_000, 4_096), (10_000, 10_000)]


def test_a_limit_that_cannot_be_raised_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not open 10 000 files is told so, and what to do."""

    def refuse(_which: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1_024, 4_096))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    with pytest.raises(BenchError, match="10500 open files are needed and 4096 allowed"):
        raise_open_file_limit(10_500)


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")
def test_a_server_that_ends_is_quoted() -> None:
    """A server that does not come up is an error with its own words."""
    ends = [sys.executable, "-c", "raise SystemExit('the port is taken')"]

    with (
        pytest.raises(BenchError, match="the port is taken"),
        running(ends, free_port()),
    ):
        pass


@pytest.mark.usefixtures("bare_machine")
def test_facts_are_known_without_git() -> None:
    """A machine without git still has a name."""
    found = facts()

    assert found["commit"] is None
    assert found["cpu"]
    assert found["cores"] == os.cpu_count()
