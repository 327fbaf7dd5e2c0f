"""The parser of server-sent events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.streams.server_sent_events import (
    EventParser,
    InvalidEventError,
    ServerSentEvent,
)

RECORDED = (
    ": a comment\nevent: output\nid: 1:0\ndata: Once\n\n"
    "event: output\nid: 1:1\ndata:  upon\n\n"
    "event: output\nid: 1:2\ndata: a\ndata: b\ndata: \n\n"
    "event: output\nid: 1:3\ndata: \U0001f9d1\u200d\U0001f373 \u00e4\u2028\n\n"
    "event: done\ndata: {}\n\n"
).encode()
EVENTS = [
    ServerSentEvent("output", "Once", "1:0"),
    ServerSentEvent("output", " upon", "1:1"),
    ServerSentEvent("output", "a\nb\n", "1:2"),
    ServerSentEvent("output", "\U0001f9d1\u200d\U0001f373 \u00e4\u2028", "1:3"),
    ServerSentEvent("done", "{}", None),
]


def parse(*parts: bytes, max_event_bytes: int = 1_000) -> list[ServerSentEvent]:
    """The events of these bytes."""
    parser = EventParser(max_event_bytes)
    return [event for part in parts for event in parser.feed(part)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_events_may_be_split_anywhere(line_end: bytes, size: int) -> None:
    """Inside a character or a line end as well, with each of the three line ends."""
    stream = RECORDED.replace(b"\n", line_end)

    parts = [stream[start : start + size] for start in range(0, len(stream), size)]

    assert parse(*parts) == EVENTS


def test_an_event_is_complete_with_its_empty_line() -> None:
    """At every possible cut, the events before it are there, and the one it is in is not."""
    ends = [at for at in range(len(RECORDED) + 1) if RECORDED[:at].endswith(b"\n\n")]

    for cut in range(len(RECORDED) + 1):
        assert parse(RECORDED[:cut]) == EVENTS[: sum(end <= cut for end in ends)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"\xef\xbb\xbfdata: x\n\n", [ServerSentEvent("message", "x")]),
        (b"data\n\n", [ServerSentEvent("message", "")]),
        (b"data:x\n\n", [ServerSentEvent("message", "x")]),
        (b"event: output\n\ndata: x\n\n", [ServerSentEvent("message", "x")]),
        (b"id: 1\0\nretry: 10\nother: y\ndata: x\n\n", [ServerSentEvent("message", "x")]),
        (b"id: 1\n\n\n\n", []),
        (b":408: 408 Request Timeout\n\n", []),
    ],
)
def test_fields_are_read_as_browsers_read_them(
    stream: bytes, events: list[ServerSentEvent]
) -> None:
    """Events without data are none, and unknown fields and comments are skipped."""
    assert parse(stream) == events


@pytest.mark.parametrize(
    "parts",
    [
        [b"data: " + b"x" * 100],
        [b"data: x\n"] * 20,
        [b"x"] * 200,
        [b": " + b"c" * 60 + b"\ndata: " + b"x" * 60 + b"\n\n"],
    ],
)
def test_an_event_has_a_limit(parts: list[bytes]) -> None:
    """One long line, many short ones, and a line that never ends are refused."""
    with pytest.raises(InvalidEventError, match="more than 100 bytes"):
        parse(*parts, max_event_bytes=100)


def test_an_event_must_be_utf_8() -> None:
    """Nothing is replaced or guessed."""
    with pytest.raises(InvalidEventError, match="UTF-8"):
        parse(b"data: \xff\n\n")


@given(
    chunks=st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r"))),
    cuts=st.lists(st.integers(min_value=0, max_value=2_000)),
)
def test_any_text_survives(chunks: list[str], cuts: list[int]) -> None:
    """Whatever the chunks and the splits, each event has its chunk."""
    stream = b"".join(
        b"".join(b"data: " + line.encode() + b"\n" for line in chunk.split("\n")) + b"\n"
        for chunk in chunks
    )
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})

    parts = [stream[begin:end] for begin, end in itertools.pairwise(places)]

    events = parse(*parts, max_event_bytes=100_000)
    assert [event.data for event in events] == chunks
