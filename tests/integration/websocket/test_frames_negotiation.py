"""Version, parameters and subprotocols of a connection, on the raw wire.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat import Socket, SocketHandler, WebSocketOptions, error, ok
from phoenix_compat.result import Result
from tests.both_ways import serve_both_ways  # noqa: F401 - a fixture
from tests.conftest import Dial, Open, Serve
from tests.serving import socket_app
from tests.wire import OK


class ParamsSocket(SocketHandler):
    """Accepts everyone and records the parameters."""

    seen: dict[str, Any]

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        type(self).seen = params
        return ok()


class LimitedSocket(SocketHandler):
    """Refuses everyone with a reason."""

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        return error("rate_limit")


class WrongSocket(SocketHandler):
    """Returns an invalid value from connect."""

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Any:
        return {"user": 7}


class NumberedSocket(SocketHandler):
    """Has ids that are not strings."""

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        return ok()

    def id(self, socket: Socket) -> Any:
        return 7


HEARTBEAT_V1 = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"}
HEARTBEAT_V2: list[Any] = [None, "1", "phoenix", "heartbeat", {}]


@pytest.mark.parametrize(
    "query", ["", "?", "?user=7", "?vsn=1.0.0", "?vsn=1.0.5", "?vsn=9&vsn=1.0.0"]
)
async def test_versions_that_select_v1(reference_url: str, open_wire: Open, query: str) -> None:
    """§1.4, §9.13.206, §10.1: no vsn, and 1.0.x, select V1."""
    wire = await open_wire(reference_url, "/socket/websocket" + query)

    answer = await wire.ask(HEARTBEAT_V1)

    assert answer == {"event": "phx_reply", "payload": OK, "ref": "1", "topic": "phoenix"}


@pytest.mark.parametrize(
    "query", ["vsn=2.0.0", "vsn=2.0.7", "vsn=2.0.0%2Bb1", "vsn=1.0.0&vsn=2.0.0", "&&vsn=2.0.0&"]
)
async def test_versions_that_select_v2(reference_url: str, open_wire: Open, query: str) -> None:
    """2.0.x selects V2; the last of several counts."""
    wire = await open_wire(reference_url, "/socket/websocket?" + query)

    answer = await wire.ask(HEARTBEAT_V2)

    assert answer == [None, "1", "phoenix", "phx_reply", OK]


@pytest.mark.parametrize(
    "query",
    [
        "vsn=",
        "vsn",
        "vsn=1.1.0",
        "vsn=2.1.0",
        "vsn=3.0.0",
        "vsn=123.1.1",
        "vsn=2",
        "vsn=2.0",
        "vsn=v2.0.0",
        "vsn=abc",
        "vsn=%202.0.0",
        "vsn=2.0.0-rc.1",
        "vsn=2.0.0+b1",
        "vsn=02.0.0",
        "vsn=2.0.0.0",
        "vsn[]=2.0.0",
        "vsn[a]=2.0.0",
    ],
)
async def test_versions_that_are_refused(reference_url: str, dial: Dial, query: str) -> None:
    """§1.4, §9.13.206, §10.2: any other vsn is 403 with an empty body."""
    client = await dial(reference_url)

    response = await client.handshake("/socket/websocket?" + query)

    assert (response.status, response.body) == (403, b"")


@pytest.mark.parametrize(
    ("vsn", "text"),
    [
        ("123.1.1", 'transport version "123.1.1" does not match server\'s version requirements of'),
        ("abc", 'Client sent invalid transport version "abc"'),
    ],
)
async def test_a_refused_version_is_logged(
    reference_url: str, dial: Dial, caplog: pytest.LogCaptureFixture, vsn: str, text: str
) -> None:
    """§9.1.24: Phoenix's text is logged as a warning, and no connect is."""
    client = await dial(reference_url)

    await client.handshake(f"/socket/websocket?vsn={vsn}")

    records = [record for record in caplog.records if text in record.getMessage()]
    assert [record.levelno for record in records] == [logging.WARNING]
    assert "REFUSED CONNECTION" not in caplog.text


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("a=1&a=2", {"a": "2"}),
        ("a", {"a": ""}),
        ("a=b+c%20d%2B", {"a": "b c d+"}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("l[]=1&l[]=2", {"l": ["1", "2"]}),
        ("&&a=1&", {"a": "1"}),
        ("a=%zz", {"a": "%zz"}),
        ("a=caf%C3%A9", {"a": "café"}),
        ("a=1=2", {"a": "1=2"}),
        ("a%5Bb%5D=1", {"a": {"b": "1"}}),
    ],
)
async def test_the_query_is_read_as_plug_reads_it(
    serve: Serve, open_wire: Open, query: str, params: dict[str, Any]
) -> None:
    """§1.3.2, §10.74: the last of equal names wins, brackets nest, all values are strings."""
    base_url = await serve(socket_app(ParamsSocket))

    await open_wire(base_url, f"/socket/websocket?vsn=2.0.0&{query}")

    assert ParamsSocket.seen == {"vsn": "2.0.0", **params}


async def test_a_query_that_is_not_utf_8_is_a_bad_request(reference_url: str, dial: Dial) -> None:
    """§1.3.2: decoded bytes that are not UTF-8 are 400."""
    client = await dial(reference_url)

    response = await client.handshake("/socket/websocket?vsn=2.0.0&a=%ff")

    assert response.status == 400


async def test_path_variables_win_over_the_query(serve: Serve, open_wire: Open) -> None:
    """§1.1, §9.2.36, §9.13.222: variables of mount and path are parameters and take precedence."""
    options = WebSocketOptions(path="/:room/ws")
    base_url = await serve(socket_app(ParamsSocket, options, path="/vars/:tenant/x"))

    await open_wire(base_url, "/vars/acme/x/7/ws?tenant=evil&y=9&vsn=2.0.0")

    assert ParamsSocket.seen == {"tenant": "acme", "room": "7", "y": "9", "vsn": "2.0.0"}


async def test_the_error_handler_answers_a_refusal_with_a_reason(serve: Serve, dial: Dial) -> None:
    """§1.4, §9.1.21: `error(reason)` goes to the error handler, which may respond with 429."""
    seen: list[Any] = []

    def too_many(request: web.Request, reason: Any) -> web.Response:
        seen.append(reason)
        return web.Response(status=429, text="Too many requests")

    options = WebSocketOptions(error_handler=too_many)
    client = await dial(await serve(socket_app(LimitedSocket, options)))

    response = await client.handshake("/socket/websocket?vsn=2.0.0")

    assert (response.status, response.body) == (429, b"Too many requests")
    assert seen == ["rate_limit"]


@pytest.mark.parametrize("handler", [LimitedSocket, NumberedSocket, WrongSocket])
async def test_a_refusal_without_an_error_handler(
    serve: Serve, dial: Dial, handler: type[SocketHandler]
) -> None:
    """§1.4: a reason without an error handler, an invalid id and an invalid result are 403."""
    client = await dial(await serve(socket_app(handler)))

    response = await client.handshake("/socket/websocket?vsn=2.0.0")

    assert (response.status, response.body) == (403, b"")


async def test_connect_may_be_a_coroutine(serve: Serve, dial: Dial) -> None:
    """§1.4: the upgrade waits for connect."""

    class WaitingSocket(SocketHandler):
        async def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            await asyncio.sleep(0)
            return error() if params.get("token") == "deny" else ok()

    base_url = await serve(socket_app(WaitingSocket))
    accepted, refused = await dial(base_url), await dial(base_url)

    answers = [
        await accepted.handshake("/socket/websocket?vsn=2.0.0"),
        await refused.handshake("/socket/websocket?vsn=2.0.0&token=deny"),
    ]

    assert [answer.status for answer in answers] == [101, 403]


@pytest.mark.parametrize(
    ("supported", "offered", "answer"),
    [
        (None, ["phoenix"], (101, None)),
        (None, ["phoenix, 123"], (101, None)),
        (["sip"], [], (101, None)),
        (["sip"], ["sip"], (101, "sip")),
        (["sip"], ["mqtt"], (403, None)),
        (["sip", "mqtt"], ["mqtt, sip"], (101, "sip")),
        (["sip", "mqtt"], [" mqtt ,, other"], (101, "mqtt")),
        (["sip"], ["SIP"], (403, None)),
        (["sip"], ["mqtt", "sip"], (403, None)),
    ],
)
async def test_subprotocols(
    serve: Serve,
    dial: Dial,
    supported: list[str] | None,
    offered: list[str],
    answer: tuple[int, str | None],
) -> None:
    """§1.7, §9.2.31, §9.7.99-102, §10.11: the first of the server's list that the client offers."""
    options = WebSocketOptions(subprotocols=supported)
    client = await dial(await serve(socket_app(ParamsSocket, options)))
    extra = [("Sec-WebSocket-Protocol", offer) for offer in offered]

    response = await client.handshake("/socket/websocket?vsn=2.0.0", extra=extra)

    assert (response.status, response.header("sec-websocket-protocol")) == answer


async def test_refused_subprotocols_are_logged(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """§1.7, §9.2.31: if none matches, an error is logged in Phoenix's words."""
    options = WebSocketOptions(subprotocols=["sip"])
    client = await dial(await serve(socket_app(ParamsSocket, options)))

    await client.handshake(
        "/socket/websocket?vsn=2.0.0", extra=[("Sec-WebSocket-Protocol", "mqtt")]
    )

    assert "Could not check Websocket subprotocols" in caplog.text
