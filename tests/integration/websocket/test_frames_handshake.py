"""The websocket handshake on the raw wire: accepted and refused requests, and the order of checks.

Numbers are those of docs/protocol.md, the description of Phoenix 1.8.12 that this project follows.
"""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Endpoint, Socket, SocketHandler, WebSocketOptions, error, ok
from phoenix_compat.conformance.suite.wire_client import (
    Headers,
    Opcode,
    WireClient,
    accept_key,
    build_request,
    encode_frame,
    upgrade_headers,
)
from phoenix_compat.result import Result
from tests.both_ways import serve_both_ways  # noqa: F401 - a fixture
from tests.conftest import Dial, Serve
from tests.serving import socket_app
from tests.wire import V2


class RecordingSocket(SocketHandler):
    """Records the parameters; refuses `token=deny` and crashes for `token=crash`."""

    seen: list[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.seen = []

    def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        self.seen.append(params)
        if params.get("token") == "crash":
            raise RuntimeError("asked to crash in connect")
        if params.get("token") == "deny":
            return error()
        return ok()


def recording_socket() -> type[RecordingSocket]:
    """A new class for each test."""
    return type("Recording", (RecordingSocket,), {})


async def test_the_answer_to_a_handshake(reference_url: str, dial: Dial) -> None:
    """§1.3: the 101 has Bandit's headers in Bandit's order, and nothing follows it."""
    client = await dial(reference_url)

    response = await client.handshake(V2)

    assert response.status == 101
    assert [name for name, _value in response.headers] == [
        "date",
        "upgrade",
        "connection",
        "sec-websocket-accept",
        "cache-control",
    ]
    key = dict(upgrade_headers("h"))["Sec-WebSocket-Key"]
    assert response.header("sec-websocket-accept") == accept_key(key)
    assert response.header("upgrade") == "websocket"
    assert response.header("connection") == "Upgrade"
    assert response.header("cache-control") == "max-age=0, private, must-revalidate"
    await expect_pong(client)


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
        "x-webkit-deflate-frame, permessage-deflate",
    ],
)
async def test_compression_is_never_negotiated(reference_url: str, dial: Dial, offer: str) -> None:
    """§10.14: an offer of permessage-deflate is ignored."""
    client = await dial(reference_url)

    response = await client.handshake(V2, extra=[("Sec-WebSocket-Extensions", offer)])

    assert response.status == 101
    assert response.header("sec-websocket-extensions") is None
    await expect_pong(client)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Connection", "keep-alive, Upgrade"),
        ("Connection", "upgrade"),
        ("Connection", "UPGRADE"),
        ("Upgrade", "WebSocket"),
        ("Upgrade", "WEBSOCKET"),
    ],
)
async def test_header_tokens_are_read_without_case(
    reference_url: str, dial: Dial, name: str, value: str
) -> None:
    """§1.3.8: the tokens of Upgrade and Connection may be in any case and in a list."""
    client = await dial(reference_url)

    response = await client.handshake(V2, {name: value})

    assert response.status == 101


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_other_methods_are_refused(serve: Serve, dial: Dial, method: str) -> None:
    """§1.3.1: a method other than GET is 400 without a body, and connect is not called."""
    handler = recording_socket()
    client = await dial(await serve(socket_app(handler)))

    response = await client.request(method, V2, upgrade_headers("ignored")[1:])

    assert (response.status, response.body) == (400, b"")
    assert handler.seen == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"Upgrade": None, "Connection": None}, b"'connection' header must contain 'upgrade'"),
        ({"Connection": None}, b"'connection' header must contain 'upgrade'"),
        ({"Connection": "close"}, b"""must contain 'upgrade', got ["close"]"""),
        ({"Upgrade": None}, b"'upgrade' header must contain 'websocket'"),
        ({"Upgrade": "h2c"}, b"'upgrade' header must contain 'websocket'"),
        ({"Sec-WebSocket-Key": None}, b"'sec-websocket-key'"),
        ({"Sec-WebSocket-Version": None}, b"'sec-websocket-version' header must equal '13'"),
        ({"Sec-WebSocket-Version": "8"}, b"'sec-websocket-version' header must equal '13'"),
        ({"Sec-WebSocket-Version": "14"}, b"'sec-websocket-version' header must equal '13'"),
    ],
)
async def test_a_bad_upgrade_is_reported_after_connect(
    serve: Serve, dial: Dial, changed: dict[str, str | None], named: bytes
) -> None:
    """§9.13.208, §10.6, §9.2.29: connect runs first; then a 400 names the error."""
    handler = recording_socket()
    client = await dial(await serve(socket_app(handler)))

    response = await client.handshake(V2, changed)

    assert response.status == 400
    assert named in response.body
    assert handler.seen == [{"vsn": "2.0.0"}]


async def test_http_1_0_cannot_upgrade(reference_url: str, dial: Dial) -> None:
    """§1.3.8: an HTTP/1.0 request that is otherwise right is 400 with a text."""
    client = await dial(reference_url)
    headers = upgrade_headers(client.host)

    await client.send_bytes(build_request("GET", V2, headers, version="HTTP/1.0"))

    response = await client.read_response()
    assert response.status == 400
    assert b"HTTP" in response.body


async def test_a_refusal_precedes_a_bad_upgrade(serve: Serve, dial: Dial) -> None:
    """§9.13.208: a plain GET that connect refuses is 403, not 400."""
    client = await dial(await serve(socket_app(recording_socket())))

    response = await client.request("GET", V2 + "&token=deny")

    assert (response.status, response.body) == (403, b"")


@pytest.mark.parametrize("token", ["deny", "crash"])
async def test_nothing_is_upgraded_before_connect_agrees(
    serve: Serve, dial: Dial, token: str
) -> None:
    """§1.4, §9.1.20, §10.4, §10.5: refused is 403 with an empty body, a crash in connect is 500."""
    client = await dial(await serve(socket_app(recording_socket())))

    response = await client.handshake(f"{V2}&token={token}")

    assert response.status == (403 if token == "deny" else 500)
    if token == "deny":
        assert response.body == b""


@pytest.mark.parametrize(
    ("target", "extra", "is_asked"),
    [
        ("?vsn=2.0.0", [("Origin", "http://evil.test"), ("Sec-WebSocket-Protocol", "x")], False),
        ("?vsn=2.0.0", [("Sec-WebSocket-Protocol", "x")], False),
        ("?vsn=3.0.0", [("Sec-WebSocket-Protocol", "sip")], False),
        ("?vsn=2.0.0&token=deny", [("Sec-WebSocket-Protocol", "sip")], True),
    ],
    ids=["origin", "subprotocol", "version", "connect"],
)
async def test_every_refusal_is_a_403_before_the_upgrade_is_looked_at(
    serve: Serve, dial: Dial, target: str, extra: Headers, is_asked: bool
) -> None:
    """§1.3: origin, subprotocol and vsn are checked before connect, all before the headers."""
    handler = recording_socket()
    options = WebSocketOptions(subprotocols=["sip"])
    client = await dial(await serve(socket_app(handler, options)))

    response = await client.handshake("/socket/websocket" + target, {"Upgrade": None}, extra)

    assert (response.status, response.body) == (403, b"")
    assert bool(handler.seen) is is_asked


@pytest.mark.parametrize(
    "path",
    [
        "/socket/websocket",
        "/socket/websocket/",
        "//socket//websocket",
        "/socket///websocket//",
    ],
)
async def test_empty_path_segments_are_ignored(reference_url: str, dial: Dial, path: str) -> None:
    """§1.1, §10.75: trailing and double slashes reach the same socket."""
    client = await dial(reference_url)

    response = await client.handshake(f"{path}?vsn=2.0.0")

    assert response.status == 101


@pytest.mark.parametrize(
    "path", ["/socket", "/socket/", "/Socket/websocket", "/socket/websocket/more", "/websocket"]
)
async def test_other_paths_are_not_the_socket(reference_url: str, dial: Dial, path: str) -> None:
    """§1.1: the mount alone, another case and longer paths are 404."""
    client = await dial(reference_url)

    response = await client.handshake(f"{path}?vsn=2.0.0")

    assert response.status == 404


@pytest.mark.parametrize(
    ("mount", "suffix", "target"),
    [
        ("/custom/some_path", "nested/path", "/custom/some_path/nested/path"),
        ("/ws/admin", "/websocket", "/ws/admin/websocket"),
        ("/", "/live", "/live"),
    ],
)
async def test_mount_paths_and_transport_paths_are_joined(
    serve: Serve, dial: Dial, mount: str, suffix: str, target: str
) -> None:
    """§1.1, §9.2.35, §9.1.1: mount path and transport path are joined, whatever their slashes."""
    app = socket_app(recording_socket(), WebSocketOptions(path=suffix), path=mount)
    client = await dial(await serve(app))

    response = await client.handshake(f"{target}?vsn=2.0.0")

    assert response.status == 101


async def test_frames_in_the_segment_of_the_handshake_are_handled(
    reference_url: str, dial: Dial
) -> None:
    """A client need not wait for the 101."""
    client = await dial(reference_url)
    eager = encode_frame("1", Opcode.PING) + encode_frame("2", Opcode.PING)

    response = await client.handshake(V2, trailing=eager)

    assert response.status == 101
    frames = [await client.read_frame() for _ping in range(2)]
    assert [frame and (frame.opcode, frame.payload) for frame in frames] == [
        (Opcode.PONG, b"1"),
        (Opcode.PONG, b"2"),
    ]


async def test_half_a_frame_in_the_segment_of_the_handshake(reference_url: str, dial: Dial) -> None:
    """A frame may begin in the segment of the handshake and end in a later one."""
    client = await dial(reference_url)
    ping = encode_frame("split", Opcode.PING)

    response = await client.handshake(V2, trailing=ping[:4])
    await client.send_bytes(ping[4:])

    frame = await client.read_frame()
    assert response.status == 101
    assert frame is not None
    assert (frame.opcode, frame.payload) == (Opcode.PONG, b"split")


async def test_a_refused_connection_may_be_used_again(reference_url: str, dial: Dial) -> None:
    """After a refusal the same TCP connection can send the next request."""
    client = await dial(reference_url)

    refused = await client.handshake(V2 + "&token=deny")
    accepted = await client.handshake(V2)

    assert (refused.status, accepted.status) == (403, 101)


async def test_an_endpoint_may_have_several_sockets(serve: Serve, dial: Dial) -> None:
    """§1.1: each mount has its own handler and options."""
    first, second = recording_socket(), recording_socket()
    endpoint = Endpoint()
    endpoint.socket("/first", first)
    client = await dial(await serve(socket_app(second, path="/second", endpoint=endpoint)))

    response = await client.handshake("/second/websocket?vsn=2.0.0&x=1")

    assert response.status == 101
    assert (first.seen, second.seen) == ([], [{"vsn": "2.0.0", "x": "1"}])


async def expect_pong(client: WireClient) -> None:
    """Assert that the next frame is the reply to a ping."""
    await client.send_frame("fence", Opcode.PING)
    frame = await client.read_frame()
    assert frame is not None
    assert (frame.opcode, frame.payload) == (Opcode.PONG, b"fence")


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Sec-WebSocket-Version", "13", 400),
        ("Sec-WebSocket-Version", "8", 400),
        ("Sec-WebSocket-Key", "c2l4dGVlbiByYXcgYnl0ZQ==", 500),
        ("Connection", "keep-alive", 101),
        ("Upgrade", "h2c", 101),
    ],
)
async def test_a_handshake_header_that_comes_twice(
    reference_url: str, dial: Dial, name: str, value: str, status: int
) -> None:
    """B6: one version; a second key is 500; the lines of a list are one list."""
    client = await dial(reference_url)
    right = dict(upgrade_headers("h"))[name]

    response = await client.handshake(V2, {name: value}, [(name, right)])

    assert response.status == status


@pytest.mark.parametrize(
    ("query", "changed", "status"),
    [
        ("vsn=2.0.0&token=deny", {}, 403),
        ("vsn=9", {}, 403),
        ("vsn=2.0.0", {"Upgrade": "h2c"}, 400),
        ("vsn=2.0.0", {}, 101),
    ],
)
async def test_a_refusal_keeps_the_subprotocol(
    reference_url: str, dial: Dial, query: str, changed: dict[str, str | None], status: int
) -> None:
    """B10: what is refused after the choice of the subprotocol still names it."""
    client = await dial(reference_url)

    response = await client.handshake(
        f"/extra/websocket?{query}", changed, [("Sec-WebSocket-Protocol", "phoenix")]
    )

    assert response.status == status
    assert response.header("sec-websocket-protocol") == "phoenix"
