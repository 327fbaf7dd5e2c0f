"""Reading requests for a transport: docs/protocol.md §1.3.2 and §1.8."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from phoenix_compat.protocol.origin import Origin
from phoenix_compat.protocol.query import BadQueryError
from phoenix_compat.transports.aiohttp.request import request_value
from phoenix_compat.transports.request import HttpRequest, connect_info, read_params
from phoenix_compat.transports.response import refusal


def a_request(
    path: str = "/socket/websocket", headers: list[tuple[str, str]] | None = None, **more: Any
) -> HttpRequest:
    """A GET, parsed by aiohttp."""
    pairs = CIMultiDict(headers or [("Host", "example.com")])
    return request_value(make_mocked_request("GET", path, headers=pairs, **more))


@pytest.mark.parametrize(
    ("path", "path_params", "expected"),
    [
        ("/s/websocket", {}, {}),
        ("/s/websocket?vsn=2.0.0&a[b]=1", {}, {"vsn": "2.0.0", "a": {"b": "1"}}),
        ("/s/websocket?a=1&a=2&l[]=x&l[]=y", {}, {"a": "2", "l": ["x", "y"]}),
        ("/s/websocket?a=1%2B1+1&token=&", {}, {"a": "1+1 1", "token": ""}),
        ("/s/websocket?a=%zz", {}, {"a": "%zz"}),
        ("/s/websocket?a=1?2", {}, {"a": "1?2"}),
        ("/s/websocket?tenant=evil&y=9", {"tenant": "acme"}, {"tenant": "acme", "y": "9"}),
    ],
)
def test_params(path: str, path_params: dict[str, str], expected: Any) -> None:
    """36, 222: the query is parsed as in Plug, and path variables take precedence."""
    assert expected == read_params(a_request(path), path_params)


def test_params_that_are_not_utf8() -> None:
    """A query that is not UTF-8 is a bad request."""
    with pytest.raises(BadQueryError):
        read_params(a_request("/s/websocket?a=%ff"), {})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("example.com", Origin("http", "example.com", 80)),
        ("example.com:8080", Origin("http", "example.com", 8080)),
        ("[::1]:8080", Origin("http", "::1", 8080)),
    ],
)
def test_the_origin_of_the_request(host: str, expected: Origin) -> None:
    """Scheme, host and port of the request."""
    assert expected == a_request(headers=[("Host", host)]).origin


def test_the_origin_of_a_request_over_tls() -> None:
    """Over TLS the scheme is https, and its port 443."""
    assert a_request(sslcontext=True).origin == Origin("https", "example.com", 443)


HEADERS = [
    ("Host", "example.com:4000"),
    ("User-Agent", "phoenix.js"),
    ("X-Real-IP", "10.0.0.1"),
    ("X-Many", "1"),
    ("x-many", "2"),
    ("Traceparent", "00-1"),
    ("tracestate", "a=1"),
    ("traceother", "no"),
    ("Sec-WebSocket-Protocol", "phoenix, 123"),
    ("Sec-WebSocket-Extensions", "foo"),
    ("Cookie", "secret"),
]


def test_headers_in_connect_info() -> None:
    """5-7, 10: headers by prefix, in lower case and in order; no others."""
    info = connect_info(a_request(headers=HEADERS), "phoenix, 123")

    assert info["x_headers"] == [("x-real-ip", "10.0.0.1"), ("x-many", "1"), ("x-many", "2")]
    assert info["trace_context_headers"] == [("traceparent", "00-1"), ("tracestate", "a=1")]
    assert info["sec_websocket_headers"] == [
        ("sec-websocket-protocol", "phoenix, 123"),
        ("sec-websocket-extensions", "foo"),
    ]
    assert info["user_agent"] == "phoenix.js"


@pytest.mark.parametrize(
    ("protocols", "expected"),
    [
        ("phoenix", [("sec-websocket-protocol", "phoenix"), ("sec-websocket-extensions", "foo")]),
        (None, [("sec-websocket-extensions", "foo")]),
    ],
)
def test_the_auth_token_is_not_in_the_headers(protocols: str | None, expected: Any) -> None:
    """The protocol header is passed on without the token."""
    info = connect_info(a_request(headers=HEADERS), protocols)

    assert info["sec_websocket_headers"] == expected


def test_the_uri_in_connect_info() -> None:
    """9: scheme, host, port, path and the raw query."""
    request = a_request("/ws/connect%20info/websocket?vsn=2.0.0&a=%C3%A9+b", HEADERS)

    assert connect_info(request)["uri"] == {
        "scheme": "http",
        "host": "example.com",
        "port": 4000,
        "path": "/ws/connect%20info/websocket",
        "query": "vsn=2.0.0&a=%C3%A9+b",
    }


@pytest.mark.parametrize(
    ("peername", "expected"),
    [
        (("127.0.0.1", 50_000), ("127.0.0.1", 50_000)),
        (("::1", 50_000, 0, 0), ("::1", 50_000)),
        ("/run/app.sock", (None, None)),
        (None, (None, None)),
    ],
    ids=["IPv4", "IPv6", "unix", "gone"],
)
def test_the_peer_in_connect_info(peername: Any, expected: tuple[Any, Any]) -> None:
    """8: address and port of the client; None if there are none."""
    transport = Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: (
        peername if name == "peername" else default
    )

    peer = connect_info(a_request(transport=transport))["peer_data"]

    assert (peer["address"], peer["port"], peer["ssl_cert"]) == (*expected, None)


def test_a_request_without_much() -> None:
    """Missing values are None or empty, and there are no other keys than in Phoenix."""
    info = connect_info(a_request())

    assert info["user_agent"] is None
    assert (info["x_headers"], info["trace_context_headers"]) == ([], [])
    assert set(info) == {
        "peer_data",
        "x_headers",
        "sec_websocket_headers",
        "trace_context_headers",
        "user_agent",
        "uri",
    }


def test_named_headers() -> None:
    """The headers that the transport's options name, with every value, and no others."""
    headers = [("Authorization", "a"), ("authorization", "b"), ("Cookie", "c")]

    info = connect_info(a_request(headers=headers), names=("authorization", "x-owner"))

    assert info["headers"] == [("authorization", "a"), ("authorization", "b")]


@pytest.mark.parametrize(("text", "body"), [("", b""), ("no", b"no")])
def test_a_refusal(text: str, body: bytes | None) -> None:
    """A refusal has its status, no body or a short text, and must not be cached."""
    response = refusal(403, text)

    assert (response.status, response.body) == (403, body)
    assert response.headers["Cache-Control"] == "max-age=0, private, must-revalidate"
