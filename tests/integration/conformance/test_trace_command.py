"""Runs `conformance trace` as the author of a client or server does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from phoenix_compat.cli import cli
from phoenix_compat.conformance.trace.rules.rulebook import RULES
from phoenix_compat.errors import ConfigError

OPEN = {"t": 0, "open": "ws://localhost/socket/websocket?vsn=2.0.0"}
JOIN = {"t": 1, "from": "client", "text": '["1","1","room:a","phx_join",{}]'}
REPLY = {
    "t": 1.5,
    "from": "server",
    "text": '["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]',
}
AGAIN = {**REPLY, "t": 2}
NO_REF = {"t": 3, "from": "client", "text": '[null,"2","room:a","echo",{}]'}


def trace(folder: Path, *objects: object, options: tuple[str, ...] = ()) -> Result:
    """Write a recording and check it."""
    path = folder / "trace.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in objects))
    return CliRunner().invoke(cli, ["conformance", "trace", str(path), *options])


def test_a_correct_recording_exits_with_0(tmp_path: Path) -> None:
    """Without violations, only the summary is printed."""
    result = trace(tmp_path, OPEN, JOIN, REPLY)

    assert (result.exit_code, result.output) == (0, "3 frames on 1 connections: 0 MUST, 0 SHOULD\n")


def test_a_violation_is_printed_with_frame_rule_and_source(tmp_path: Path) -> None:
    """Number, frame, rule, side and source are printed; the exit code is 1."""
    result = trace(tmp_path, OPEN, JOIN, REPLY, AGAIN)

    assert result.exit_code == 1
    place, frame, rule, source, _summary = result.output.splitlines()
    assert place == "frame 4 (line 4), connection a, at 2.000 s"
    assert frame == f"  ← {REPLY['text']}"
    assert rule.startswith("  MUST reply/twice (server): a second reply to a message that gets")
    assert rule.endswith("[reply 2 to frame 2]")
    assert source == "       source: socket.ex, handle_in/4"


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_a_should_counts_with_strict(tmp_path: Path, options: tuple[str, ...], code: int) -> None:
    """Warnings are always printed, and fail only with --strict."""
    result = trace(tmp_path, OPEN, JOIN, REPLY, NO_REF, options=options)

    assert "SHOULD client/no-join-ref" in result.output
    assert result.exit_code == code


def test_one_side_can_be_checked_alone(tmp_path: Path) -> None:
    """`--who client` hides the errors of the server."""
    result = trace(tmp_path, OPEN, JOIN, REPLY, AGAIN, NO_REF, options=("--who", "client"))

    assert result.exit_code == 0
    assert "client/no-join-ref" in result.output
    assert "reply/twice" not in result.output


def test_the_report_can_be_json(tmp_path: Path) -> None:
    """`--json` prints one object with counts and violations."""
    result = trace(tmp_path, OPEN, JOIN, REPLY, AGAIN, options=("--json",))

    document = json.loads(result.output)
    assert result.exit_code == 1
    assert document["counts"] == {"MUST": 1, "SHOULD": 0}
    assert document["violations"][0]["rule"] == "reply/twice"
    assert document["violations"][0]["frame"] == 4
    assert document["violations"][0]["shown"] == REPLY["text"]


def test_the_heartbeat_timeout_can_be_chosen(tmp_path: Path) -> None:
    """A heartbeat without a reply for longer is a violation."""
    heartbeat = {"t": 2, "from": "client", "text": '[null,"2","phoenix","heartbeat",{}]'}
    later = {"t": 4, "from": "client", "ping": ""}

    result = trace(tmp_path, OPEN, heartbeat, later, options=("--heartbeat-timeout", "1"))

    assert "frame 2 (line 2)" in result.output
    assert "heartbeat/unanswered" in result.output


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """The error names line and field; the installed command prints it and exits with 2."""
    result = trace(tmp_path, OPEN, {"from": "client", "text": 1})

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert 'line 2: "text" must be a string, not 1' in result.stderr


def test_the_rules_are_listed() -> None:
    """`--rules` lists every rule, for people and for programs."""
    listed = CliRunner().invoke(cli, ["conformance", "trace", "--rules"])
    data = CliRunner().invoke(cli, ["conformance", "trace", "--rules", "--json"])

    assert all(rule.why in listed.output for rule in RULES.values())
    assert [rule["id"] for rule in json.loads(data.output)] == list(RULES)


def test_a_file_is_required() -> None:
    """Without a file, the command says what is missing."""
    result = CliRunner().invoke(cli, ["conformance", "trace"])

    assert result.exit_code == 2
    assert "the file is missing" in result.output


def test_a_profile_leaves_out_what_its_version_does(tmp_path: Path) -> None:
    """Before 1.8.10, the payload of phx_error was empty."""
    error = {"t": 2, "from": "server", "text": '["1","1","room:a","phx_error",{}]'}

    codes = [
        trace(tmp_path, OPEN, JOIN, REPLY, error, options=("--profile", profile)).exit_code
        for profile in ("1.8.12", "1.7")
    ]

    assert codes == [1, 0]


def test_a_profile_lists_its_rules() -> None:
    """`--rules` lists those that hold."""
    result = CliRunner().invoke(cli, ["conformance", "trace", "--rules", "--profile", "1.8.2"])

    assert "reply/stale" not in result.output
    assert "reply/twice" in result.output


def test_an_unknown_profile_is_an_error(tmp_path: Path) -> None:
    """The profiles are listed."""
    result = trace(tmp_path, OPEN, options=("--profile", "2.0"))

    assert isinstance(result.exception, SystemExit | ConfigError)
    assert "choose from 1.5, " in f"{result.output}{result.exception}"
