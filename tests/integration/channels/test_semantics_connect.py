"""Connections: connect_info, logs, ids, forced disconnects.

Numbers are those of docs/protocol.md, §9.1 for the most part: what Phoenix's own tests assert.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, Socket, SocketHandler, WebSocketOptions, ok, on
from phoenix_compat.conformance.reference import RoomChannel, UserSocket
from phoenix_compat.conformance.suite.wire_client import Opcode, WireClient, encode_close
from phoenix_compat.result import HandleResult, Result
from tests.both_ways import serve_both_ways  # noqa: F401 - a fixture
from tests.conftest import Dial, Open, Serve
from tests.serving import EventLog, accepting, socket_app
from tests.wire import V2


def describing(event_log: EventLog) -> type[SocketHandler]:
    """A handler that records the connect_info of each client."""

    class DescribingSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            event_log.record(connect_info)
            return ok()

    return DescribingSocket


def mortal(event_log: EventLog) -> type[Channel]:
    """A channel that records why it ends, with its topic."""

    class MortalChannel(Channel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            return ok()

        @on("echo")
        def echo(self, payload: Any, socket: Socket) -> HandleResult:
            return ok(payload)

        def terminate(self, reason: Any, socket: Socket) -> None:
            event_log.record((socket.topic, reason))

    return MortalChannel


async def test_connect_info_has_the_headers(serve: Serve, dial: Dial) -> None:
    """§9.1.5, 6, 7, 10: x- and sec-websocket- headers, trace context, user agent are there."""
    event_log = EventLog()
    client = await dial(await serve(socket_app(describing(event_log))))
    extra = [
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-App", "1"),
        ("Sec-WebSocket-Protocol", "phoenix, 123"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("traceparent", "00-a-b-01"),
        ("tracestate", "k=v"),
        ("trace-other", "no"),
        ("User-Agent", "tests/1"),
    ]

    response = await client.handshake(V2, extra=extra)

    info = await event_log.next()
    assert response.status == 101
    assert info["x_headers"] == [("x-forwarded-for", "10.0.0.1"), ("x-app", "1")]
    assert ("sec-websocket-protocol", "phoenix, 123") in info["sec_websocket_headers"]
    assert ("sec-websocket-extensions", "permessage-deflate") in info["sec_websocket_headers"]
    assert info["trace_context_headers"] == [("traceparent", "00-a-b-01"), ("tracestate", "k=v")]
    assert info["user_agent"] == "tests/1"


async def test_connect_info_has_the_peer_and_the_uri(serve: Serve, dial: Dial) -> None:
    """§9.1.8 and 9: address and port of the client; scheme, host, port, path, raw query."""
    event_log = EventLog()
    base_url = await serve(socket_app(describing(event_log), path="/ws/connect_info"))
    client = await dial(base_url)

    await client.handshake("/ws/connect_info/websocket?vsn=2.0.0&a=%20b")

    info = await event_log.next()
    assert info["peer_data"]["address"] == "127.0.0.1"
    assert isinstance(info["peer_data"]["port"], int)
    assert info["peer_data"]["ssl_cert"] is None
    host, port = base_url.removeprefix("http://").split(":")
    expected = {"scheme": "http", "host": host, "port": int(port)}
    assert {key: info["uri"][key] for key in expected} == expected
    assert info["uri"]["path"] == "/ws/connect_info/websocket"
    assert info["uri"]["query"] == "vsn=2.0.0&a=%20b"


async def test_connect_info_without_headers(serve: Serve, dial: Dial) -> None:
    """§1.8: missing values are empty or None; own entries are copied (§9.1.12)."""
    event_log = EventLog()
    options = WebSocketOptions(connect_info={"deployment": "blue"})
    client = await dial(await serve(socket_app(describing(event_log), options)))

    await client.handshake(V2)

    info = await event_log.next()
    assert (info["x_headers"], info["trace_context_headers"]) == ([], [])
    assert info["user_agent"] is None
    assert info["deployment"] == "blue"


async def test_a_connect_is_logged(
    serve: Serve, open_wire: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """§9.1.13, §1.4: who connected, how, with which parameters; secrets are filtered."""
    caplog.set_level(logging.INFO)
    base_url = await serve(socket_app(UserSocket))

    await open_wire(base_url, V2 + "&user=ann&token=t0p&my_password=s3cret")

    assert "CONNECTED TO" in caplog.text
    assert "UserSocket" in caplog.text
    assert "Transport: :websocket" in caplog.text
    assert "V2JSONSerializer" in caplog.text
    assert "ann" in caplog.text
    assert caplog.text.count("[FILTERED]") == 2
    assert "t0p" not in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_refused_connect_is_logged(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """§1.4: a refusal by connect is logged as such."""
    caplog.set_level(logging.INFO)
    client = await dial(await serve(socket_app(UserSocket)))

    await client.handshake(V2 + "&token=deny")

    assert "REFUSED CONNECTION TO" in caplog.text


async def test_a_socket_may_be_silent_in_the_log(
    serve: Serve, open_wire: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """§9.1.14: `log = None` logs neither connects nor refusals."""
    caplog.set_level(logging.DEBUG)
    silent = type("SilentSocket", (UserSocket,), {"log": None})

    await open_wire(await serve(socket_app(silent)))

    assert "CONNECTED TO" not in caplog.text


async def test_joins_and_events_are_logged(
    serve: Serve, open_wire: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """§9.1.15, §4.7: joins and handled events are logged with passwords filtered."""
    caplog.set_level(logging.DEBUG)
    wire = await open_wire(await serve(socket_app(UserSocket)))

    await wire.join("room:lobby", payload={"password": "s3cret"})
    await wire.ask(["1", "2", "room:lobby", "echo", {"password": "s3cret", "a": 1}])

    assert "JOINED room:lobby" in caplog.text
    assert "HANDLED echo INCOMING ON room:lobby (RoomChannel)" in caplog.text
    assert caplog.text.count("[FILTERED]") == 2
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("how", ["close", "drop"])
async def test_a_disconnect_ends_all_channels(serve: Serve, open_wire: Open, how: str) -> None:
    """§9.1.17, §3.10: every channel of a closed connection ends, with a shutdown reason."""
    event_log = EventLog()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": mortal(event_log)}))))
    await wire.join("room:a", "1")
    await wire.join("room:b", "2")

    await (wire.client.send_bytes(encode_close(1000)) if how == "close" else wire.close())

    ends = dict([await event_log.next(), await event_log.next()])
    assert ends.keys() == {"room:a", "room:b"}
    assert all(reason[0] == "shutdown" for reason in ends.values())
    if how == "close":
        assert ends["room:a"] == ("shutdown", "closed")


async def test_a_disconnect_closes_all_sockets_of_an_id(serve: Serve, open_wire: Open) -> None:
    """§9.1.22, §9.6.83, §9.13.217, §10.52, §10.53: only 1001; channels shut down."""
    event_log, endpoint = EventLog(), Endpoint()
    app = socket_app(accepting({"room:*": mortal(event_log)}), endpoint=endpoint)
    base_url = await serve(app)
    gone = [await open_wire(base_url, V2 + "&user=ann") for _device in range(2)]
    stays = await open_wire(base_url, V2 + "&user=bob")
    for wire in (*gone, stays):
        await wire.join("room:a")

    endpoint.broadcast("user:ann", "disconnect", {})

    assert [await wire.recv_close() for wire in gone] == [1001, 1001]
    reason = ("shutdown", "disconnected")
    assert [await event_log.next(), await event_log.next()] == [("room:a", reason)] * 2
    await stays.fence()
    assert event_log.is_empty


async def test_only_disconnect_acts_on_the_id(serve: Serve, open_wire: Open) -> None:
    """§3.7, §10.72: other events on the socket's id, and unknown ids, have no effect."""
    endpoint = Endpoint()
    app = socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint)
    wire = await open_wire(await serve(app), V2 + "&user=ann")

    endpoint.broadcast("user:ann", "msg", {"a": 1})
    endpoint.broadcast("user:nobody", "disconnect", {})

    await wire.fence()


async def test_a_topic_of_connect_disconnects_too(serve: Serve, open_wire: Open) -> None:
    """§3.7: what `connect` has subscribed to closes the connection like the id, and then ends."""
    endpoint = Endpoint()

    class TeamSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            for topic in (params["team"], params["team"], "everybody"):
                socket.subscribe(topic)
            return ok()

        def id(self, socket: Socket) -> str:
            return "everybody"

    base_url = await serve(socket_app(TeamSocket, endpoint=endpoint))
    red, blue = [await open_wire(base_url, f"{V2}&team={team}") for team in ("red", "blue")]

    endpoint.broadcast("red", "news", {})
    await red.fence()
    endpoint.broadcast("red", "disconnect", {})

    assert await red.recv_close() == 1001
    await blue.fence()
    assert set(endpoint.pubsub.topics) == {"blue", "everybody"}
    endpoint.broadcast("everybody", "disconnect", {})
    assert await blue.recv_close() == 1001


async def test_the_topic_of_the_id_is_not_joined(serve: Serve, open_wire: Open) -> None:
    """§10.72: messages for the id's topic are for a topic that is not joined."""
    app = socket_app(accepting({"room:*": RoomChannel}))
    wire = await open_wire(await serve(app), V2 + "&user=ann")

    answer = await wire.ask(["1", "2", "user:ann", "disconnect", {}])

    assert answer[4]["response"] == {"reason": "unmatched topic"}


async def test_the_server_sends_nothing_of_its_own(serve: Serve, open_wire: Open) -> None:
    """§3.8, §9.1.25, §9.13.209, §10.16: no pings; only received bytes keep a connection open."""
    endpoint = Endpoint()
    options = WebSocketOptions(timeout_s=0.2)
    app = socket_app(accepting({"room:*": RoomChannel}), options, endpoint=endpoint)
    base_url = await serve(app)
    silent, pinging = await open_wire(base_url), await open_wire(base_url)
    await silent.join("room:a")

    for number in range(8):
        endpoint.broadcast("room:a", "tick", {"number": number})
        await pinging.client.send_frame(str(number), Opcode.PING)
        pong = await pinging.recv_frame()
        assert (pong.opcode, pong.payload) == (Opcode.PONG, str(number).encode())
        await quiet_for(pinging.client, 0.06)

    ticks = 0
    while (frame := await silent.recv_frame()).opcode == Opcode.TEXT:
        ticks += 1
    assert (frame.opcode, frame.close_code) == (Opcode.CLOSE, 1002)
    assert 1 <= ticks < 8


async def test_an_idle_client_is_closed_in_time(serve: Serve, open_wire: Open) -> None:
    """§9.1.25: with a timeout of 200 ms an idle client is closed within 400 ms, with 1002."""
    options = WebSocketOptions(timeout_s=0.2)
    wire = await open_wire(await serve(socket_app(UserSocket, options)))

    await wire.fence()

    assert await wire.recv_close(timeout_s=0.4) == 1002


async def quiet_for(client: WireClient, quiet_s: float) -> None:
    """Assert that nothing is received for a while, which is as long on a busy machine."""
    with pytest.raises(TimeoutError):
        await WireClient.read_frame(client, quiet_s)
