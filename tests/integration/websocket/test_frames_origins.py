"""Which web pages may open a websocket: docs/protocol.md §1.5 and §9.7.84-98, on the raw wire."""

from __future__ import annotations

import pytest

from phoenix_compat import Endpoint, WebSocketOptions
from phoenix_compat.conformance.reference import UserSocket
from phoenix_compat.protocol.origin import CheckOrigin, Origin
from tests.both_ways import serve_both_ways  # noqa: F401 - a fixture
from tests.conftest import Dial, Serve
from tests.serving import socket_app
from tests.wire import V2

LISTED = ["//example.com", "http://scheme.com", "//port.com:81", "https://*.sub.test"]


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (None, True),
        ("http://example.com", True),
        ("https://example.com:8443", True),
        ("ws://example.com", True),
        ("http://org1.example.com", False),
        ("http://example.com.evil.test", False),
        ("http://EXAMPLE.com", False),
        ("http://scheme.com", True),
        ("https://scheme.com", False),
        ("http://scheme.com:8080", False),
        ("http://port.com:81", True),
        ("https://port.com:81", True),
        ("http://port.com:82", False),
        ("http://port.com", False),
        ("https://sub.test", True),
        ("https://a.sub.test", True),
        ("https://a.b.sub.test", True),
        ("http://a.sub.test", False),
        ("https://prefix-sub.test", False),
        ("http://notallowed.com", False),
        ("null", False),
        ("", False),
        ("file://", False),
    ],
)
async def test_a_list_of_origins(
    serve: Serve, dial: Dial, origin: str | None, is_allowed: bool
) -> None:
    """§9.1.19, §9.7.88-91 and 95, §10.7, §10.9: scheme and port count if the entry has them."""
    options = WebSocketOptions(check_origin=LISTED)

    status = await connect(serve, dial, Endpoint(), options, origin)

    assert status == (101 if is_allowed else 403)


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (None, True),
        ("http://phoenix.test", True),
        ("https://phoenix.test:4001", True),
        ("http://other.test", False),
        ("http://sub.phoenix.test", False),
        ("null", False),
        ("file://", False),
    ],
)
async def test_true_compares_the_host_alone(
    serve: Serve, dial: Dial, origin: str | None, is_allowed: bool
) -> None:
    """§9.7.85, §10.8: the origin's host is the endpoint's; scheme and port do not matter."""
    endpoint = Endpoint(check_origin=True, url_host="phoenix.test")

    status = await connect(serve, dial, endpoint, WebSocketOptions(), origin)

    assert status == (101 if is_allowed else 403)


@pytest.mark.parametrize(
    ("origin", "is_allowed"), [("http://localhost:4000", True), ("http://127.0.0.1", False)]
)
async def test_by_default_localhost_may_connect(
    serve: Serve, dial: Dial, origin: str, is_allowed: bool
) -> None:
    """§1.5: by default the check is on, and the endpoint's host is localhost."""
    status = await connect(serve, dial, Endpoint(), WebSocketOptions(), origin)

    assert status == (101 if is_allowed else 403)


@pytest.mark.parametrize("origin", ["http://anywhere.test", "null", "", "http://[bad", "file://"])
async def test_false_lets_everyone_in(serve: Serve, dial: Dial, origin: str) -> None:
    """§9.7.84 and 94: without a check, even origins that cannot be parsed are allowed."""
    options = WebSocketOptions(check_origin=False)

    status = await connect(serve, dial, Endpoint(), options, origin)

    assert status == 101


@pytest.mark.parametrize("port_of_origin", ["own", "other"])
@pytest.mark.parametrize("scheme", ["http", "https", "ws"])
async def test_conn_compares_with_the_request_itself(
    serve: Serve, dial: Dial, scheme: str, port_of_origin: str
) -> None:
    """§9.7.93: scheme, host and port must be those of the request."""
    base_url = await serve(socket_app(UserSocket, WebSocketOptions(check_origin="conn")))
    client = await dial(base_url)
    host, port = client.host.split(":")
    origin = f"{scheme}://{host}:{port if port_of_origin == 'own' else 1}"

    response = await client.handshake(V2, extra=[("Origin", origin)])

    is_same = scheme == "http" and port_of_origin == "own"
    assert response.status == (101 if is_same else 403)


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [("http://friend.test", True), ("http://foe.test", False), ("null", False)],
)
async def test_a_callable_decides(serve: Serve, dial: Dial, origin: str, is_allowed: bool) -> None:
    """§9.7.92 and 96: it is called with the parsed origin, even one without a host."""
    seen: list[str | None] = []

    def is_friend(parsed: Origin) -> bool:
        seen.append(parsed.host)
        return parsed.host == "friend.test"

    options = WebSocketOptions(check_origin=is_friend)

    status = await connect(serve, dial, Endpoint(), options, origin)

    assert status == (101 if is_allowed else 403)
    assert seen == [None if origin == "null" else origin.removeprefix("http://")]


@pytest.mark.parametrize(
    ("of_endpoint", "of_socket", "is_allowed"),
    [
        (["//example.com"], None, True),
        (["//other.test"], None, False),
        (["//other.test"], ["//example.com"], True),
        (False, ["//other.test"], False),
        (["//other.test"], False, True),
    ],
)
async def test_the_sockets_setting_precedes_the_endpoints(
    serve: Serve,
    dial: Dial,
    of_endpoint: CheckOrigin,
    of_socket: CheckOrigin | None,
    is_allowed: bool,
) -> None:
    """§9.7.86: the endpoint's list is used if the socket has none."""
    endpoint, options = Endpoint(check_origin=of_endpoint), WebSocketOptions(check_origin=of_socket)

    status = await connect(serve, dial, endpoint, options, "http://example.com")

    assert status == (101 if is_allowed else 403)


async def test_only_the_first_origin_header_counts(serve: Serve, dial: Dial) -> None:
    """§1.5: a second Origin header is ignored."""
    base_url = await serve(socket_app(UserSocket, WebSocketOptions(check_origin=["//a.test"])))
    allowed, refused = await dial(base_url), await dial(base_url)
    good, bad = ("Origin", "http://a.test"), ("Origin", "http://b.test")

    statuses = [
        (await allowed.handshake(V2, extra=[good, bad])).status,
        (await refused.handshake(V2, extra=[bad, good])).status,
    ]

    assert statuses == [101, 403]


async def test_a_handler_mounted_twice_has_two_policies(serve: Serve, dial: Dial) -> None:
    """§9.7.98: each mount has its own check."""
    endpoint = Endpoint()
    endpoint.socket("/open", UserSocket, websocket=WebSocketOptions(check_origin=False))
    closed = WebSocketOptions(check_origin=["//a.test"])
    base_url = await serve(socket_app(UserSocket, closed, path="/closed", endpoint=endpoint))
    extra = [("Origin", "http://b.test")]

    statuses = []
    for path in ("/closed", "/open", "/closed", "/open"):
        client = await dial(base_url)
        answer = await client.handshake(f"{path}/websocket?vsn=2.0.0", extra=extra)
        statuses.append(answer.status)

    assert statuses == [403, 101, 403, 101]


async def test_a_refused_origin_is_logged(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """§1.5, §9.7.91: the refusal and the origin are logged in Phoenix's words."""
    await connect(serve, dial, Endpoint(), WebSocketOptions(), "http://evil.test")

    assert "Could not check origin for Phoenix.Socket transport." in caplog.text
    assert "Origin of the request: http://evil.test" in caplog.text


async def connect(
    serve: Serve, dial: Dial, endpoint: Endpoint, options: WebSocketOptions, origin: str | None
) -> int:
    """The status of a handshake with an origin."""
    client = await dial(await serve(socket_app(UserSocket, options, endpoint=endpoint)))
    extra = [] if origin is None else [("Origin", origin)]
    response = await client.handshake(V2, extra=extra)
    assert (response.body == b"") or response.status == 101
    return response.status
