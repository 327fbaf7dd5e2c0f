"""Runs `conformance fuzz` as a user does: exit codes, messages and files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from phoenix_compat import HandleResult, Socket, ok, on
from phoenix_compat.cli import cli
from phoenix_compat.cli.conformance.fuzz import KINDS
from phoenix_compat.conformance.fuzz import generate
from phoenix_compat.conformance.fuzz.run import Outcome
from phoenix_compat.conformance.fuzz.script import Client, Script, Send
from phoenix_compat.conformance.reference import RoomChannel, UserSocket, build_reference_app
from tests.conftest import Serve

JOIN = Send("a", ('["1","1","room:$ID","phx_join",{}]',))
ECHO_ERROR = Send("a", ('["1","2","room:$ID","echo_error",{"it\'s":1}]',))
CLIENT = Client("a", "/extra/websocket?vsn=2.0.0")
SCRIPT = Script((CLIENT,), (JOIN, ECHO_ERROR), ("room:$ID",))


class WrongChannel(RoomChannel):
    """Answers `echo_error` with ok."""

    @on("echo_error")
    def echo_error(self, payload: Any, socket: Socket) -> HandleResult:
        """Reply ok."""
        return ok(payload)


async def fuzz(*arguments: str | Path) -> Result:
    """Run the command in another thread."""
    words = ["conformance", "fuzz", *map(str, arguments)]
    return await asyncio.to_thread(CliRunner().invoke, cli, words)


async def test_the_second_server_is_of_this_package_unless_named(
    serve: Serve, tmp_path: Path
) -> None:
    """Without `--against` the server is compared with the set in the command's own process."""
    url = await serve(build_reference_app())
    file = tmp_path / "fuzz.json"

    finished = await fuzz(f"{url}/socket", "--conversations", "5", "--json", file)

    assert finished.exit_code == 0, finished.output
    first, last = finished.stdout.splitlines()
    assert first == f"comparing {url} with the reference set of this package"
    assert last.startswith("5 conversations in ")
    assert last.endswith("seed 1: no difference")
    report = json.loads(file.read_text())
    assert (report["result"], report["played"], report["against"]) == ("no difference", 5, None)


async def test_a_difference_is_printed_with_the_command_that_shows_it_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--replay` plays what was printed, or all differences of a report; the exit code is 1."""
    right_url = await serve(build_reference_app())
    monkeypatch.setitem(UserSocket.channels, "room:*", WrongChannel)
    wrong_url = await serve(build_reference_app())
    against = ("--against", wrong_url)

    shown = await fuzz(right_url, *against, "--replay", SCRIPT.to_json())
    report = await fuzz(right_url, *against, "--replay", SCRIPT.to_json(), "--json", "-")
    same = await fuzz(wrong_url, *against, "--replay", SCRIPT.to_json())

    assert (shown.exit_code, report.exit_code, same.exit_code) == (1, 1, 0), shown.output
    assert "the conversation differs, 2 frames:" in shown.stdout
    assert f"+++ {wrong_url}" in shown.stdout
    assert f"conformance fuzz {right_url} --against {wrong_url} --replay '" in shown.stdout
    (difference,) = json.loads(report.stdout)["differences"]
    assert Script.from_json(json.dumps(difference["script"])) == SCRIPT
    assert difference["frames"] == 2


async def test_a_report_can_be_replayed(serve: Serve, tmp_path: Path) -> None:
    """Each difference of the file is played; here the server has been mended."""
    url = await serve(build_reference_app())
    file = tmp_path / "fuzz.json"
    scripts = [json.loads(SCRIPT.to_json()), json.loads(Script((CLIENT,), (JOIN,)).to_json())]
    file.write_text(json.dumps({"differences": [{"script": script} for script in scripts]}))

    finished = await fuzz(url, "--replay", file)

    assert finished.exit_code == 0, finished.output
    assert "2 conversations in " in finished.stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--replay", "{}"), "--replay: this is not a conversation"),
        (("--replay", '{"differences":[]}'), "--replay: this report has no differences"),
        (("--replay", '{"differences":[1]}'), "--replay: this is not a report"),
        (("--replay", "no/such/file"), "cannot read the file 'no/such/file'"),
        (("--for", "5 minutes"), "is not a duration; write 30s, 10m or 1h"),
        (("--for", "0s"), "is not more than 0"),
        (("--against", "ftp://h"), "is not the URL of a server; write http://localhost:4001"),
    ],
)
async def test_misuse_is_exit_code_2(words: tuple[str, ...], problem: str) -> None:
    """A wrong option is named, with what to write instead."""
    finished = await fuzz("http://127.0.0.1:1", *words)

    assert finished.exit_code == 2
    assert problem in " ".join(finished.stderr.split())


async def test_a_server_that_cannot_be_compared_is_named(serve: Serve) -> None:
    """No server, no socket, or another set of channels: exit code 2, before anything is played."""
    url = await serve(build_reference_app())
    other_url = await serve(web.Application())

    nowhere = await fuzz(url, "--against", "http://127.0.0.1:1")
    elsewhere = await fuzz(other_url)

    assert (nowhere.exit_code, elsewhere.exit_code) == (2, 2)
    assert "no Phoenix server answers at http://127.0.0.1:1: Connection refused" in nowhere.stderr
    assert f"{other_url} answers 404 at /extra/websocket" in elsewhere.stderr
    assert "host the reference channel set" in elsewhere.stderr


def test_the_kinds_are_those_of_the_generator() -> None:
    """The command names them without importing the generator."""
    assert KINDS == generate.KINDS


def test_what_was_not_played_is_not_judged() -> None:
    """More than one conversation in twenty unfinished, or one unjudged, is too many."""
    assert Outcome().result == "not judged"
    assert Outcome(played=20, unfinished={"EOFError": 1}).result == "no difference"
    assert Outcome(played=19, unfinished={"EOFError": 1}).result == "not judged"
    assert Outcome(played=19, unjudged=1).result == "not judged"
