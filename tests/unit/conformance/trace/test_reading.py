"""Recordings are read from both file formats; errors name the line and the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.conformance.trace.recording import frames
from phoenix_compat.conformance.trace.recording.frames import Entry, Side, TraceError
from phoenix_compat.conformance.trace.recording.read_trace import read_trace

URL = "ws://localhost/socket/websocket?vsn=2.0.0"
TEXT = '["1","1","room:a","phx_join",{}]'


def lines(*objects: dict[str, Any]) -> str:
    """Objects as JSON lines."""
    return "".join(json.dumps(one) + "\n" for one in objects)


def har(*messages: dict[str, Any], **request: Any) -> dict[str, Any]:
    """A HAR with a page and a websocket."""
    entry = {"request": {"url": URL, **request}, "_webSocketMessages": list(messages)}
    return {"log": {"version": "1.2", "entries": [{"request": {"url": "http://x/"}}, entry]}}


def read(folder: Path, text: str, name: str = "trace") -> list[Entry]:
    """Write a file and read it."""
    path = folder / name
    path.write_text(text)
    return list(read_trace(path))


def test_json_lines_are_read(tmp_path: Path) -> None:
    """Each line becomes an entry with its number, place, time and side."""
    text = lines(
        {"t": 1, "open": URL, "protocols": ["phoenix"], "protocol": "phoenix"},
        {"t": 1.5, "conn": "b", "from": "client", "text": TEXT, "note": "ours"},
        {"from": "server", "b64": "AP8="},
        {"from": "client", "ping": "x"},
        {"from": "server", "pong": "x"},
        {"from": "server", "close": 1001, "reason": "bye"},
    )

    entries = read(tmp_path, "\n" + text)

    assert entries[0] == Entry(
        1, "line 2", "a", 1.0, Side.CLIENT, frames.Open(URL, 101, ("phoenix",), "phoenix")
    )
    assert entries[1] == Entry(2, "line 3", "b", 1.5, Side.CLIENT, frames.Text(TEXT))
    assert [entry.frame for entry in entries[2:]] == [
        frames.Binary(b"\x00\xff"),
        frames.Ping("x"),
        frames.Pong("x"),
        frames.Close(1001, "bye"),
    ]
    assert [entry.at_s for entry in entries[2:]] == [None] * 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(
            '{"from":"client","text":"[', "not valid JSON, is the file complete?", id="truncated"
        ),
        pytest.param("[]", "expected an object, not []", id="no-object"),
        pytest.param('{"from":"client"}', "exactly one of open, text, b64", id="nothing"),
        pytest.param('{"from":"client","text":"","b64":""}', "exactly one of", id="two"),
        pytest.param('{"text":"[]"}', '"from" is missing', id="no-side"),
        pytest.param(
            '{"from":"out","text":"[]"}', '"from" must be "client" or "server"', id="side"
        ),
        pytest.param('{"from":"client","text":[]}', '"text" must be a string, not []', id="text"),
        pytest.param(
            '{"from":"client","b64":"?"}', '"b64" of a binary frame is not base64', id="b64"
        ),
        pytest.param('{"t":"1","open":"x"}', "\"t\" must be a number, not '1'", id="time"),
        pytest.param('{"t":NaN,"open":"x"}', '"t" must be a finite number', id="nan"),
        pytest.param('{"conn":1,"open":"x"}', '"conn" must be a string, not 1', id="conn"),
        pytest.param('{"from":"server","close":true}', '"close" must be an integer', id="close"),
        pytest.param('{"open":"x","protocols":[1]}', '"protocols" must be a list of', id="list"),
        pytest.param('{"open":"x","protocol":1}', '"protocol" must be a string or null', id="null"),
    ],
)
def test_a_bad_line_is_an_error(tmp_path: Path, line: str, message: str) -> None:
    """The message names the file, the line and the field."""
    with pytest.raises(TraceError) as error:
        read(tmp_path, lines({"open": URL}) + line + "\n")

    assert str(error.value).startswith(f"{tmp_path / 'trace'}: line 2: ")
    assert message in str(error.value)


def test_a_har_is_read(tmp_path: Path) -> None:
    """The frames of all websockets are read, ordered by time."""
    offered = {"name": "Sec-WebSocket-Protocol", "value": "phoenix, other"}
    document = har(
        {"type": "send", "time": 5.0, "opcode": 1, "data": TEXT},
        {"type": "receive", "time": 7.0, "opcode": 2, "data": "AP8="},
        {"type": "receive", "time": 8.0, "opcode": 8, "data": "", "code": 1001},
        {"type": "error", "time": 9.0, "opcode": -1, "data": "reset"},
        headers=[offered],
    )
    document["log"]["entries"] += har(
        {"type": "send", "time": 6.0, "opcode": 9, "data": "x"},
        {"type": "receive", "time": 6.5, "opcode": 10, "data": "x"},
        {"type": "receive", "time": 6.6, "opcode": 8, "data": ""},
    )["log"]["entries"]

    entries = read(tmp_path, json.dumps(document, indent=1))

    assert [(entry.number, entry.conn, entry.frame) for entry in entries] == [
        (1, "1", frames.Open(URL, 101, ("phoenix", "other"))),
        (2, "1", frames.Text(TEXT)),
        (3, "2", frames.Open(URL)),
        (4, "2", frames.Ping("x")),
        (5, "2", frames.Pong("x")),
        (6, "2", frames.Close(1005)),
        (7, "1", frames.Binary(b"\x00\xff")),
        (8, "1", frames.Close(1001)),
        (9, "1", frames.Close(1006)),
    ]
    assert entries[1].place == "log.entries[1]._webSocketMessages[0]"


SENT = {"type": "send", "time": 5.0, "opcode": 1, "data": TEXT}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param([], "a HAR must be a JSON object", id="list"),
        pytest.param({"log": {}}, 'log: "entries" is missing', id="no-entries"),
        pytest.param({"log": {"entries": [1]}}, "log.entries[0]: expected an object", id="entry"),
        pytest.param({"log": {"entries": []}}, "no websocket in the file", id="no-websocket"),
        pytest.param(har({**SENT, "type": "sent"}), '"type" must be "send" or', id="type"),
        pytest.param(har({**SENT, "opcode": 3}), '"opcode" must be 1, 2, 8, 9 or 10', id="opcode"),
        pytest.param(har({**SENT, "time": None}), '"time" must be a number, not None', id="time"),
        pytest.param(har({**SENT, "opcode": 2}), '"data" of a binary frame', id="base64"),
        pytest.param(har(1), "[0]: expected an object", id="message"),  # type: ignore[arg-type] # on purpose
    ],
)
def test_a_bad_har_is_an_error(tmp_path: Path, document: Any, message: str) -> None:
    """The error names the place in the document and the field."""
    with pytest.raises(TraceError) as error:
        read(tmp_path, json.dumps(document), "trace.har")

    assert message in str(error.value)


def test_a_har_is_recognized_by_its_first_line(tmp_path: Path) -> None:
    """The file name does not matter, nor whether the JSON has one line or many."""
    document = har(SENT)

    assert len(read(tmp_path, json.dumps(document))) == 2
    assert len(read(tmp_path, json.dumps(document, indent=2))) == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b'{"open":"x"}\n\xff', "line 2: not UTF-8", id="not-utf8"),
    ],
)
def test_a_file_that_is_not_a_recording(tmp_path: Path, data: bytes, message: str) -> None:
    """An empty file and a file that is not text are errors."""
    path = tmp_path / "trace"
    path.write_bytes(data)

    with pytest.raises(TraceError, match=message):
        read_trace(path)


def test_a_truncated_har_is_an_error(tmp_path: Path) -> None:
    """Half a HAR is an error."""
    with pytest.raises(TraceError, match="not valid JSON, is the file complete"):
        read(tmp_path, json.dumps(har(SENT), indent=1)[:80])


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """The error is that of the operating system."""
    with pytest.raises(TraceError, match="No such file"):
        read_trace(tmp_path / "none")
