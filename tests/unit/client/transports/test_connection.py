"""The URLs that the client requests."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import ConfigError
from phoenix_compat.client.transports.connection import SocketAddress, encode_params
from phoenix_compat.client.transports.websocket import auth_protocols
from phoenix_compat.protocol.query import decode_query


@pytest.mark.parametrize(
    ("url", "requested"),
    [
        ("ws://a/socket", "http://a/socket/websocket?vsn=2.0.0"),
        ("wss://a:444/socket/", "https://a:444/socket/websocket?vsn=2.0.0"),
        ("http://a/socket/websocket", "http://a/socket/websocket?vsn=2.0.0"),
        ("https://a/socket/longpoll?x=1", "https://a/socket/websocket?x=1&vsn=2.0.0"),
        ("ws://[::1]:4000", "http://[::1]:4000/websocket?vsn=2.0.0"),
    ],
)
def test_addresses(url: str, requested: str) -> None:
    """The transport is appended, the query kept, and `vsn` comes last."""
    assert str(SocketAddress.parse(url).url("websocket", {}, "2.0.0")) == requested


def test_a_session_token() -> None:
    """It is a parameter, as servers of all versions read it."""
    url = SocketAddress.parse("ws://a/socket").url("longpoll", {"a": "b"}, "1.0.0", "t/=")

    assert str(url) == "http://a/socket/longpoll?a=b&vsn=1.0.0&token=t%2F%3D"


def test_the_text_for_people() -> None:
    """It has neither the query nor the password."""
    address = SocketAddress.parse("wss://user:password@a/socket?token=secret")

    assert address.text == "wss://a/socket"


PARAMS: list[tuple[Any, Any]] = [
    ({}, {}),
    ({"a": 1, "b": 1.5, "c": True, "d": False}, {"a": "1", "b": "1.5", "c": "true", "d": "false"}),
    ({"a": None, "b": ""}, {"b": ""}),
    (
        {"user": {"name": "ü &=+[]", "x": {"y": "z"}}},
        {"user": {"name": "ü &=+[]", "x": {"y": "z"}}},
    ),
    ({"ids": [1, "2"], "none": []}, {"ids": ["1", "2"]}),
]


@pytest.mark.parametrize(("params", "read"), PARAMS)
def test_params(params: Any, read: Any) -> None:
    """A Phoenix server reads what was meant."""
    assert decode_query("&".join(encode_params(params))) == read


def test_params_of_a_wrong_type() -> None:
    """The error says what to write."""
    endless: dict[str, Any] = {}
    endless["again"] = endless
    for wrong, text in (("a=b", "must be a dict"), (endless, "nested more than")):
        with pytest.raises(ConfigError, match=text):
            list(encode_params(wrong))  # type: ignore[arg-type]


def test_auth_protocols() -> None:
    """The same as in phoenix.js: standard base64 without padding."""
    assert auth_protocols("a?b>") == ("phoenix", "base64url.bearer.phx.YT9iPg")
