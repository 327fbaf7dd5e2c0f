"""Runs `conformance run` as a user does: exit codes, files and messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from phoenix_compat.conformance.suite import runner
from phoenix_compat.conformance.suite.cases import Case
from phoenix_compat.conformance.suite.runner import CaseResult
from tests.conformance.suite.fake_server import FakeServer
from tests.integration.operations.commands import Finished, run

run_module = import_module("phoenix_compat.cli.conformance.run")

COMMAND = ("-m", "phoenix_compat", "conformance", "run")


async def play(*arguments: str | Path) -> Finished:
    """Run the command with a short `--quiet-ms`."""
    return await run(*COMMAND, *map(str, arguments), "--quiet-ms", "60", COLUMNS="120")


async def test_a_good_server_is_exit_code_0(reference_url: str, tmp_path: Path) -> None:
    """All reports are written, and the last line is the summary."""
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "junit", "html", "badge")}
    options = [word for kind, path in files.items() for word in (f"--{kind}", path)]

    finished = await play(reference_url, "--only", "join/ok", *options)

    assert finished.code == 0, finished.err
    assert finished.out.splitlines()[-1].startswith("8 of 8 passed, profile 1.8.12")
    assert json.loads(files["json"].read_text())["counts"]["passed"] == 8
    assert all(path.stat().st_size for path in files.values())


async def test_a_difference_is_exit_code_1(reference_url: str) -> None:
    """With another profile the server differs; the failure shows the command to repeat the case."""
    arguments = ("--only", "end/crash", "--transport", "websocket", "--profile", "1.8.2")
    finished = await play(f"{reference_url}/socket/websocket", *arguments)

    assert finished.code == 1
    assert '[4] is {"reason":"channel_crash"}, wanted {}' in finished.out
    assert f"conformance run {reference_url} --only end/crash/rejoin --transport" in finished.out


async def test_expected_failures_are_strict(reference_url: str, tmp_path: Path) -> None:
    """An expected failure is a success; an unexpected pass is not."""
    known = tmp_path / "known.txt"
    known.write_text("end/crash/rejoin\n")
    options = ("--only", "end/crash/rejoin", "--expected-failures", known)

    good = await play(reference_url, *options, "--profile", "1.8.2")
    odd = await play(reference_url, *options)

    assert good.code == 0, good.out
    assert "2 failed as expected" in good.out
    assert odd.code == 1
    assert "end/crash/rejoin longpoll passed: remove it from the expected failures" in odd.out


async def test_json_to_stdout_is_json_alone(reference_url: str) -> None:
    """With `--json -`, the text for people goes to stderr."""
    finished = await play(reference_url, "--only", "join/ok/v2", "--json", "-")

    assert [case["id"] for case in json.loads(finished.out)["cases"]] == ["join/ok/v2"] * 2
    assert "2 of 2 passed" in finished.err


@pytest.mark.parametrize(
    ("unjudged", "failing", "code"), [(1, 0, 3), (1, 1, 1), (0, 1, 1), (0, 0, 0)]
)
def test_what_could_not_be_judged_is_exit_code_3(
    unjudged: int, failing: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only if nothing failed; the report has the reason."""

    async def reached(_url: str) -> None:
        """The server answers."""

    async def play_none(cases: Sequence[Case], *_: Any, **__: Any) -> list[CaseResult]:
        reasons = ["machine too busy"] * unjudged + [None] * failing
        wrong = [
            CaseResult(case, (), "e", unjudged=why)
            for case, why in zip(cases, reasons, strict=False)
        ]
        return [*wrong, *(CaseResult(case, ()) for case in cases[len(wrong) :])]

    monkeypatch.setattr(run_module, "_check_reachable", reached)
    monkeypatch.setattr(runner, "run_cases", play_none)
    path = tmp_path / "report.json"

    arguments = ["http://127.0.0.1:1", "--only", "join/ok", "--json", str(path)]
    finished = CliRunner(env={"COLUMNS": "200"}).invoke(run_module.run, arguments)

    assert finished.exit_code == code, finished.output
    assert json.loads(path.read_text())["counts"]["could not be judged"] == unjudged
    assert ("could not be judged: machine too busy" in finished.output) is bool(unjudged)


async def test_no_server_is_exit_code_2(reference_url: str) -> None:
    """Without a server, or without the reference channel set, the command fails at once."""
    async with FakeServer().run() as base_url:
        pass
    unreachable = await play(base_url)
    other = await play(f"{reference_url}/elsewhere")

    assert (unreachable.code, other.code) == (2, 2)
    assert f"no server answers at {base_url}" in unreachable.err
    assert "reference channel set" in other.err


async def test_misuse_is_exit_code_2(tmp_path: Path) -> None:
    """Unknown ids, profiles and URLs give an error message, not a traceback."""
    known = tmp_path / "known.txt"
    known.write_text("join/nothing\n")
    wrong = [
        await play("http://h", "--only", "join/nothing"),
        await play("http://h", "--profile", "2.0"),
        await play("http://h", "--expected-failures", known),
        await play("ftp://h"),
        await play(),
    ]

    assert [finished.code for finished in wrong] == [2] * 5
    assert all(finished.err and "Traceback" not in finished.err for finished in wrong)


async def test_the_list_needs_no_server() -> None:
    """`--list` prints the ids and plays nothing."""
    finished = await run(*COMMAND, "--list", "--only", "join/duplicate", COLUMNS="120")

    assert finished.code == 0
    assert "join/duplicate/order" in finished.out
