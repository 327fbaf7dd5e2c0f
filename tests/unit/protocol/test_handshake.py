"""The websocket handshake: docs/protocol.md §1.3.8, §1.3.9 and §1.7."""

from __future__ import annotations

import itertools

import pytest
from multidict import CIMultiDict

from phoenix_compat.protocol.handshake import (
    accept_key,
    has_several_keys,
    offered_subprotocols,
    select_subprotocol,
    switching_protocols,
    take_auth_token,
    upgrade_error,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FINE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": KEY,
    "sec-websocket-version": "13",
}
HTTP_1_1 = (1, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"connection": "keep-alive, Upgrade"},
        {"connection": "UPGRADE"},
        {"upgrade": "WebSocket"},
        {"upgrade": "h2c, websocket"},
        {"sec-websocket-extensions": "permessage-deflate"},
    ],
)
def test_an_upgrade(headers: dict[str, str]) -> None:
    """Connection and Upgrade are lists of words in any case."""
    assert upgrade_error({**FINE, **headers}, HTTP_1_1) is None


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("connection", "close", """'connection' header must contain 'upgrade', got ["close"]"""),
        ("connection", None, "'connection' header must contain 'upgrade', got nothing"),
        ("connection", "upgraded", """got ["upgraded"]"""),
        ("upgrade", "h2c", """'upgrade' header must contain 'websocket', got ["h2c"]"""),
        ("upgrade", None, "'upgrade' header must contain 'websocket', got nothing"),
        ("sec-websocket-key", None, "'sec-websocket-key' header must be 16 bytes in base64"),
        ("sec-websocket-key", "short", "16 bytes"),
        ("sec-websocket-key", KEY[:-2], "16 bytes"),
        ("sec-websocket-key", "AAAA", "16 bytes"),
        ("sec-websocket-key", KEY + "AAAA", "16 bytes"),
        ("sec-websocket-key", "é" * 24, "16 bytes"),
        ("sec-websocket-version", "8", "'sec-websocket-version' header must equal '13', got 8"),
        ("sec-websocket-version", None, "must equal '13', got nothing"),
    ],
)
def test_no_upgrade(header: str, value: str | None, expected: str) -> None:
    """B7: The error is a sentence that names the wrong header."""
    headers = {name: text for name, text in {**FINE, header: value}.items() if text is not None}

    problem = upgrade_error(headers, HTTP_1_1)

    assert problem is not None
    assert expected in problem


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("sec-websocket-version", "13", "must equal '13', got 13, 13"),
        ("sec-websocket-version", "8", "must equal '13', got 13, 8"),
        ("sec-websocket-key", KEY, None),
        ("sec-websocket-key", "short", None),
        ("connection", "keep-alive", None),
        ("upgrade", "h2c", None),
    ],
)
def test_a_header_that_comes_twice(name: str, value: str, expected: str | None) -> None:
    """B6: all lines of a list count, in either order; there must be one version."""
    headers = CIMultiDict([*FINE.items(), (name.title(), value)])
    reverse = CIMultiDict([(name.title(), value), *FINE.items()])

    problem = upgrade_error(headers, HTTP_1_1)

    assert (problem is None) is (upgrade_error(reverse, HTTP_1_1) is None) is (expected is None)
    assert (expected or "") in (problem or "")
    assert has_several_keys(headers) is (name == "sec-websocket-key")
    assert not has_several_keys(FINE)


def test_http_1_0_cannot_upgrade() -> None:
    """A request of HTTP/1.0 is not an upgrade, whatever its headers."""
    assert upgrade_error(FINE, (1, 0)) == "HTTP version must be 1.1 or newer, got 1.0"


def test_the_connection_header_is_looked_at_first() -> None:
    """29: the error for a plain GET is about its connection header."""
    problem = upgrade_error({}, HTTP_1_1)

    assert problem is not None
    assert "'connection' header must contain 'upgrade'" in problem


def test_the_accept_key() -> None:
    """The example of RFC 6455."""
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_bytes_of_a_101() -> None:
    """Headers are written unchanged and in order, one per line."""
    headers = [("upgrade", "websocket"), ("connection", "Upgrade")]

    assert switching_protocols(headers) == (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", []),
        ("sip", ["sip"]),
        ("mqtt, sip", ["mqtt", "sip"]),
        (" mqtt ,,\tsip , ", ["mqtt", "sip"]),
    ],
)
def test_what_a_client_offers(header: str | None, expected: list[str] | None) -> None:
    """The header is split at commas and trimmed; empty names are dropped; no header is no offer."""
    assert expected == offered_subprotocols(header)


@pytest.mark.parametrize(
    ("offered", "supported", "expected"),
    [
        (["sip"], None, (True, None)),
        (None, None, (True, None)),
        (None, ["sip"], (True, None)),
        (["sip"], ["sip", "mqtt"], (True, "sip")),
        (["mqtt", "sip"], ["sip", "mqtt"], (True, "sip")),
        (["mqtt", "foo"], ["sip", "mqtt"], (True, "mqtt")),
        (["foo"], ["sip", "mqtt"], (False, None)),
        (["SIP"], ["sip"], (False, None)),
        ([], ["sip"], (False, None)),
        (["sip"], [], (False, None)),
    ],
)
def test_the_subprotocol(
    offered: list[str] | None, supported: list[str] | None, expected: tuple[bool, str | None]
) -> None:
    """99, 101, 102: the first offered entry of the server's list; without one it is refused."""
    assert expected == select_subprotocol(offered, supported)


def test_every_choice_of_subprotocol() -> None:
    """The server's order decides, whatever is offered."""
    lists = [list(names) for size in range(4) for names in itertools.permutations("abc", size)]

    for offered, supported in itertools.product(lists, lists):
        common = [name for name in supported if name in offered]
        expected = (True, common[0]) if common else (False, None)
        assert expected == select_subprotocol(offered, supported)


# The auth token of phoenix.js: docs/protocol.md §1.6.

BEARER = "base64url.bearer.phx."


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (None, None)),
        ("", ("", None)),
        ("phoenix", ("phoenix", None)),
        ("foo", ("foo", None)),
        (f"phoenix, {BEARER}c2VjcmV0", ("phoenix", "secret")),
        (f"{BEARER}c2VjcmV0, phoenix", ("phoenix", "secret")),
        (f"{BEARER}c2VjcmV0", (None, "secret")),
        (f"phoenix, {BEARER}", ("phoenix", "")),
        (f"sip,{BEARER}YQ,mqtt", ("sip, mqtt", "a")),
        (f"phoenix, {BEARER}YQ==", ("phoenix", "a")),
        (f"phoenix, {BEARER}YWI=", ("phoenix", "ab")),
        (f"phoenix, {BEARER}Pz8/Pj4+", ("phoenix", "???>>>")),
        (f"phoenix, {BEARER}w6k", ("phoenix", "é")),
        (f"phoenix, {BEARER}YQ, {BEARER}Yg", (f"phoenix, {BEARER}YQ, {BEARER}Yg", None)),
        (f"phoenix, {BEARER.upper()}YQ", (f"phoenix, {BEARER.upper()}YQ", None)),
    ],
)
def test_the_auth_token(header: str | None, expected: tuple[str | None, str | None]) -> None:
    """207: exactly one entry with the prefix is the token, and is taken out of the header."""
    assert expected == take_auth_token(header)


WRONG_PADDING = ["YQ=", "YQ===", "YWI==", "YWJj=", "YWJj====", "=", "====", "YQ==YQ==", "Y==="]


@pytest.mark.parametrize("encoded", ["Pz8_Pj4-", "a b", "YQ=x", "é", "A", *WRONG_PADDING])
def test_an_auth_token_in_another_alphabet(encoded: str) -> None:
    """B8: the token is in standard base64, whole padding or none; else an error, HTTP 500."""
    with pytest.raises(ValueError, match=r".+"):
        take_auth_token(f"phoenix, {BEARER}{encoded}")
