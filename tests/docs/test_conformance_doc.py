"""docs/conformance.md agrees with the reference channel set, the options and the trace checker."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from phoenix_compat.cli import cli
from phoenix_compat.conformance import reference
from phoenix_compat.conformance.suite.cases import parse_case
from phoenix_compat.conformance.trace.recording.jsonl import parse_jsonl
from tests.docs.pages import blocks

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "conformance.md").read_text()
ELIXIR = blocks(DOCUMENT, "elixir")[0]
SET = DOCUMENT.partition("### The reference channel set")[2].partition("### Phoenix itself")[0]
SOURCE = inspect.getsource(reference)
EVENTS = re.findall(r'@on\("(\w+)"\)', SOURCE)
TOPICS = re.findall(r'"(\w+:\*)"', SOURCE)


def command(*names: str) -> click.Command:
    """Return the command with this name, for example `conformance run`."""
    found: click.Command = cli
    for name in names:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    return found


def test_the_reference_set_has_channels_and_events() -> None:
    """The lists that the tests below compare with are not empty."""
    assert sorted(set(TOPICS)) == ["presence:*", "room:*", "task:*"]
    assert len(EVENTS) > 15


@pytest.mark.parametrize("event", EVENTS)
def test_the_elixir_file_handles_every_event(event: str) -> None:
    """Each event of our reference set is described, and has a handle_in in the file for Phoenix."""
    assert f'handle_in("{event}",' in ELIXIR
    assert f"`{event}`" in SET


def test_the_elixir_file_handles_no_other_event() -> None:
    """The file for Phoenix handles the events that the page lists, and no others."""
    listed = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", SET, re.MULTILINE)))
    of_presence = ["update", "list"]

    assert sorted(set(re.findall(r'handle_in\("(\w+)",', ELIXIR))) == sorted(listed + of_presence)


@pytest.mark.parametrize("topic", sorted(set(TOPICS)))
def test_the_elixir_file_routes_every_topic(topic: str) -> None:
    """Each topic of our reference set is declared on the socket for Phoenix."""
    assert re.search(rf'channel "{re.escape(topic)}", Conformance\.\w+', ELIXIR)
    assert f"`{topic}`" in SET


@pytest.mark.parametrize(
    "code",
    [
        'socket "/socket", Conformance.UserSocket, websocket: true, longpoll: true',
        'socket "/slow", Conformance.UserSocket, websocket: [timeout: 2_000], longpoll: false',
        '%{"token" => "deny"}, _socket, _connect_info), do: :error',
        '%{"token" => "reject"}, _socket, _connect_info), do: {:error, :rejected}',
        'socket "/extra", Conformance.ExtraSocket,\n    auth_token: true,',
        'path_info: ["broadcast", topic, event]',
        'join("task:missing"',
        'join("task:crash"',
        "[0, 1, 2, 127, 128, 254, 255]",
        'handle_in("update", payload, socket) when is_map(payload)',
        "Enum.all?(bytes, &(&1 in 0..255))",
        '%{"user" => user}) when is_binary(user) or is_integer(user)',
        "length: 1_048_576",
    ],
)
def test_the_elixir_file_has_what_the_vectors_rely_on(code: str) -> None:
    """The file for Phoenix has the mounts, refusals and broadcasts of the reference set."""
    assert code in ELIXIR


def test_the_elixir_file_is_whole() -> None:
    """Blocks and brackets are balanced, as far as that can be checked without Elixir."""
    code = re.sub(r'"(?:[^"\\]|\\.)*"|#.*', "", ELIXIR)
    opened = re.findall(r"\bdo$|\bfn\b", code, re.MULTILINE)

    assert len(opened) == len(re.findall(r"\bend\b", code))
    for left, right in ("()", "[]", "{}"):
        assert code.count(left) == code.count(right)


def test_the_recording_of_the_document_gives_its_report(tmp_path: Path) -> None:
    """The trace checker prints the report of the page for the recording of the page."""
    lines = next(block for block in blocks(DOCUMENT, "json") if '"from"' in block)
    path = tmp_path / "trace.jsonl"
    path.write_text(lines)

    result = CliRunner().invoke(cli, ["conformance", "trace", str(path)])

    assert len(list(parse_jsonl(lines))) == 4
    assert result.output == blocks(DOCUMENT, "text")[0]


def test_the_case_of_the_document_can_be_parsed() -> None:
    """The vector on the page can be parsed."""
    shown = next(block for block in blocks(DOCUMENT, "json") if '"steps"' in block)

    assert len(parse_case(json.loads(shown)).steps) == 2


@pytest.mark.parametrize("name", ["run", "trace", "fuzz", "load"])
def test_every_option_of_the_document_exists(name: str) -> None:
    """No section names an option that its command does not have."""
    section = {
        "run": DOCUMENT.partition("## A server")[2].partition("### With pytest")[0],
        "trace": DOCUMENT.partition("## A recording")[2].partition("From Python:")[0],
        "fuzz": (ROOT / "docs" / "conformance-fuzz.md").read_text(),
        "load": (ROOT / "docs" / "conformance-load.md").read_text(),
    }[name]
    existing = {option for one in command("conformance", name).params for option in one.opts}

    assert set(re.findall(r"`(--[\w-]+)", section)) <= existing


def test_every_option_of_the_plugin_is_documented() -> None:
    """The section about pytest names each option of the plugin, and no other."""
    plugin = (ROOT / "pytest_phoenix_compat.py").read_text()
    section = DOCUMENT.partition("### With pytest")[2].partition("###")[0]

    assert set(re.findall(r"--phoenix-[\w-]+", section)) == set(
        re.findall(r'"(--phoenix-[\w-]+)"', plugin)
    )
