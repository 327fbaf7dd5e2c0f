"""Paths of sockets, and responses as values."""

from __future__ import annotations

import pytest

from phoenix_compat.transports.paths import match_segments, segments
from phoenix_compat.transports.response import HttpResponse, refusal

PLUG = {"Cache-Control": "max-age=0, private, must-revalidate"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/socket/websocket", ["socket", "websocket"]), ("//a///b/", ["a", "b"]), ("/", []), ("", [])],
)
def test_segments(path: str, expected: list[str]) -> None:
    """Empty ones do not count, as in Plug."""
    assert list(segments(path)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/x/websocket", {"room": "x"}),
        ("/a/:room/websocket", {"room": ":room"}),
        ("/a/x", None),
        ("/b/x/websocket", None),
        ("/a/x/websocket/more", None),
    ],
)
def test_path_variables(path: str, expected: dict[str, str] | None) -> None:
    """A segment that begins with a colon takes any; those of the path are only text."""
    pattern = segments("/a/:room/websocket")

    assert match_segments(pattern, segments(path)) == expected


def test_path_variables_that_are_not_passed_on() -> None:
    """Names that begin with `_`, as in Plug."""
    assert match_segments(segments("/:_any/:b"), segments("/x/y")) == {"b": "y"}


def test_a_refusal_without_a_text() -> None:
    """It has Plug's headers, and no content type."""
    assert refusal(403) == HttpResponse(403, PLUG, b"", closes=False)


def test_a_refusal_with_a_text() -> None:
    """In UTF-8; what is not text in it is a question mark."""
    response = refusal(400, "ü\udcff", closes=True)

    assert response.headers == {**PLUG, "Content-Type": "text/plain; charset=utf-8"}
    assert (response.status, response.body, response.closes) == (400, "ü?".encode(), True)


def test_a_response() -> None:
    """Without more it keeps its connection open, and has headers of its own."""
    response, other = HttpResponse(200), HttpResponse(200)

    response.headers["A"] = "b"

    assert (response.closes, response.body, response.native, other.headers) == (
        False,
        b"",
        None,
        {},
    )
