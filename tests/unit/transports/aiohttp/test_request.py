"""Requests of aiohttp as values, and responses back."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from phoenix_compat.transports.aiohttp.request import (
    path_as_sent,
    query_as_sent,
    request_value,
    to_aiohttp,
)
from phoenix_compat.transports.response import HttpResponse


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a%2Fb/../c", "/a%2Fb/../c", ""),
        ("/a?b=1?2&c=%2F", "/a", "b=1?2&c=%2F"),
        ("/a#b#c", "/a", ""),
        ("/a#b?c=1", "/a", "c=1"),
        ("/a?b=1#c#d", "/a", "b=1"),
        ("/a?b=1#c?d", "/a", "b=1"),
        ("http://example.com/a/b?c=1", "/a/b", "c=1"),
        ("http://example.com/a://b/c", "/a://b/c", ""),
        ("http://example.com", "/", ""),
    ],
)
def test_the_target_as_sent(target: str, path: str, query: str) -> None:
    """Neither decoded nor normalised; the target may be a whole URL."""
    request = Mock(raw_path=target)

    assert (path_as_sent(request), query_as_sent(request)) == (path, query)


@pytest.mark.parametrize(
    ("peername", "expected"),
    [(("10.0.0.1", 5), ("10.0.0.1", 5)), (("::1", 5, 0, 0), ("::1", 5)), ("", (None, None))],
)
def test_the_peer(peername: object, expected: object) -> None:
    """Address and port; clients on a Unix socket have none."""
    transport = Mock()
    transport.get_extra_info.side_effect = {"peername": peername}.get
    request = make_mocked_request("GET", "/", transport=transport)

    assert request_value(request).peer == expected


def test_a_client_that_is_gone_has_no_peer() -> None:
    """Its request may still be read."""
    request = Mock(wraps=make_mocked_request("GET", "/a?b", headers={"X-A": "b"}))
    request.transport, request.version = None, Mock(major=1, minor=0)

    value = request_value(request)

    assert value.peer == (None, None)
    assert value.http_version == (1, 0)


def test_a_response() -> None:
    """Status, headers and body; without a body it has no content."""
    request = make_mocked_request("GET", "/")

    with_body = to_aiohttp(request, HttpResponse(201, {"X-A": "b"}, b"text"))
    without = to_aiohttp(request, HttpResponse(403))

    assert isinstance(with_body, web.Response)
    assert isinstance(without, web.Response)
    assert (with_body.status, with_body.headers["X-A"], with_body.body) == (201, "b", b"text")
    assert (without.status, without.body) == (403, None)


def test_a_response_of_the_framework() -> None:
    """It is sent as it is; headers are added that it does not have."""
    native = web.Response(status=402, headers={"X-A": "own"})

    sent = to_aiohttp(Mock(), HttpResponse(402, {"X-A": "b", "X-C": "d"}, native=native))

    assert sent is native
    assert (sent.headers["X-A"], sent.headers["X-C"]) == ("own", "d")
