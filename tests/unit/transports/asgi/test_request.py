"""Reading ASGI scopes, and sending responses."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.transports.asgi.request import request_value, segments_of, send_response
from phoenix_compat.transports.request import connect_info
from phoenix_compat.transports.response import HttpResponse, refusal
from tests.unit.transports.asgi.harness import FakeServer, http_scope, websocket_scope


def test_a_request() -> None:
    """The head as sent, with bytes that are not UTF-8 as surrogates; names in any case."""
    scope = websocket_scope(
        raw_path=b"/s%6f/x%2Fy",
        query_string=b"a=%C3%A9",
        scheme="wss",
        headers=[(b"host", b"h:81"), (b"x-a", b"1"), (b"x-a", b"\xff"), (b"cookie", b"c")],
    )

    request = request_value(scope)

    assert (request.method, request.path, request.query) == ("GET", "/s%6f/x%2Fy", "a=%C3%A9")
    assert (request.scheme, request.peer, request.http_version) == (
        "https",
        ("127.0.0.1", 50_000),
        (1, 1),
    )
    assert request.origin == ("https", "h", 81)
    assert connect_info(request)["x_headers"] == [("x-a", "1"), ("x-a", "\udcff")]


def test_a_request_of_a_server_that_tells_little() -> None:
    """Without `raw_path` the path is encoded again; without `client` the peer is not known."""
    scope = http_scope("/sö cket/longpoll", raw_path=None, client=None, http_version="2")

    request = request_value(scope)

    assert request.path == "/s%C3%B6%20cket/longpoll"
    assert (request.peer, request.http_version) == ((None, None), (2, 0))


def test_subprotocols_of_a_server_that_removes_the_header() -> None:
    """Uvicorn with wsproto has them only in the scope; the header counts if it is there."""
    own = websocket_scope(subprotocols=["phoenix", "x"])
    both = websocket_scope(subprotocols=["a"], headers=[(b"Sec-WebSocket-Protocol", b"b")])

    assert request_value(own).headers["Sec-WebSocket-Protocol"] == "phoenix, x"
    assert request_value(both).headers.getall("Sec-WebSocket-Protocol") == ["b"]


@pytest.mark.parametrize(
    ("raw_path", "root_path", "expected"),
    [
        (b"/socket//websocket/", "", ["socket", "websocket"]),
        (b"/api/socket/websocket", "/api", ["socket", "websocket"]),
        (b"/a%20b/c/socket", "/a b/c", ["socket"]),
        (b"/socket/websocket", "/api", ["socket", "websocket"]),
        (b"/s%6fcket?x", "", ["s%6fcket"]),
    ],
)
def test_segments(raw_path: bytes, root_path: str, expected: list[str]) -> None:
    """Those of `root_path` do not count, if they are there."""
    assert segments_of(http_scope(raw_path=raw_path, root_path=root_path)) == expected


async def sent(response: HttpResponse, scope: dict[str, Any]) -> list[Any]:
    """The events that send a response."""
    server = FakeServer()
    await send_response(response, scope, server.receive, server.send)
    return server.sent


async def test_a_response() -> None:
    """Status, headers and body; the connection is closed if the response says so."""
    start, body = await sent(refusal(408, "late", closes=True), http_scope())

    assert (start["type"], start["status"]) == ("http.response.start", 408)
    assert dict(start["headers"]) == {
        b"cache-control": b"max-age=0, private, must-revalidate",
        b"content-type": b"text/plain; charset=utf-8",
        b"content-length": b"4",
        b"connection": b"close",
    }
    assert body == {"type": "http.response.body", "body": b"late"}


async def test_no_connection_header_over_http_2() -> None:
    """HTTP/2 has none."""
    start, _ = await sent(refusal(408, closes=True), http_scope(http_version="2"))

    assert b"connection" not in dict(start["headers"])


async def test_a_refused_websocket() -> None:
    """With the extension the response is sent; without it the server answers 403."""
    start, body = await sent(refusal(400, "no"), websocket_scope())
    without = await sent(refusal(400, "no"), websocket_scope(extensions={}))

    assert (start["type"], start["status"]) == ("websocket.http.response.start", 400)
    assert body == {"type": "websocket.http.response.body", "body": b"no"}
    assert [event["type"] for event in without] == ["websocket.close"]


async def test_a_response_of_a_framework() -> None:
    """Any ASGI application can be the response; the headers that it lacks are added."""

    async def native(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        headers = [(b"X-Own", b"1")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b"slow down"})

    response = HttpResponse(0, {"X-Own": "2", "X-More": "3"}, native=native)

    start, body = await sent(response, websocket_scope())

    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert start["headers"] == [(b"X-Own", b"1"), (b"x-more", b"3")]
    assert body["body"] == b"slow down"
