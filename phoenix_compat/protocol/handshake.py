"""The websocket handshake: checks the upgrade request and writes the 101 response.

Source: RFC 6455 §4.2; the order and texts of refusals: websock_adapter 0.6,
lib/websock_adapter/upgrade_validation.ex; subprotocols: phoenix 1.8.12,
lib/phoenix/socket/transport.ex, check_subprotocols/2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from phoenix_compat.bounded import shortened
from phoenix_compat.protocol.base64_text import decode_base64

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16
_BEARER: Final = "base64url.bearer.phx."


def upgrade_error(headers: Mapping[str, str], http_version: tuple[int, int]) -> str | None:
    """Why a GET is not a valid websocket upgrade, as a sentence; None if it is one.

    Differs from Phoenix: the key must be 16 bytes in base64, as RFC 6455 requires; Bandit takes any
    text. The sentences are our own.

    Args:
        headers: may be a multidict; it must ignore the case of names.
    """
    if http_version < (1, 1):
        return f"HTTP version must be 1.1 or newer, got {http_version[0]}.{http_version[1]}"
    for name, token in (("connection", "upgrade"), ("upgrade", "websocket")):
        values = _values(headers, name)
        if len(values) == 1 and values[0].lower() == token:  # as most are
            continue
        if not any(token in _tokens(value) for value in values):
            shown = '", "'.join(shortened(value) for value in values)
            got = f'["{shown}"]' if values else "nothing"
            return f"'{name}' header must contain '{token}', got {got}"
    keys = _values(headers, "sec-websocket-key")
    if not keys or (len(keys) == 1 and not _is_key(keys[0])):
        return "'sec-websocket-key' header must be 16 bytes in base64"
    versions = _values(headers, "sec-websocket-version")
    if versions != ["13"]:
        got = shortened(", ".join(versions) or "nothing")
        return f"'sec-websocket-version' header must equal '13', got {got}"
    return None


def has_several_keys(headers: Mapping[str, str]) -> bool:
    """Whether `Sec-WebSocket-Key` comes more than once; Bandit crashes then, which is HTTP 500."""
    return len(_values(headers, "sec-websocket-key")) > 1


def accept_key(key: str) -> str:
    """The `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def offered_subprotocols(header: str | None) -> list[str] | None:
    """The names in a `Sec-WebSocket-Protocol` header; None when there is none."""
    if header is None:
        return None
    return [name for name in (part.strip() for part in header.split(",")) if name]


def take_auth_token(header: str | None) -> tuple[str | None, str | None]:
    """Split a `Sec-WebSocket-Protocol` header into the remaining header and the auth token.

    phoenix.js sends `phoenix, base64url.bearer.phx.<token>`. Despite the name, the token is in
    standard base64, with optional padding. Unless there is exactly one such entry, the header is
    unchanged and there is no token. If nothing else is in the header, the remaining header is None.

    Raises:
        ValueError: the token is not base64.

    Source: phoenix 1.8.12, lib/phoenix/transports/websocket.ex, maybe_auth_token_from_header/2.
    """
    offered = offered_subprotocols(header) or []
    tokens = [name for name in offered if name.startswith(_BEARER)]
    if len(tokens) != 1:
        return header, None
    encoded = tokens[0].removeprefix(_BEARER).encode("utf-8", "surrogateescape")
    token = decode_base64(encoded, is_padding_optional=True).decode("utf-8", "surrogateescape")
    remaining = [name for name in offered if name != tokens[0]]
    return ", ".join(remaining) or None, token


def select_subprotocol(
    offered: Sequence[str] | None, supported: Sequence[str] | None
) -> tuple[bool, str | None]:
    """Whether the request is acceptable, and the subprotocol for the response.

    The first entry of the server's list that was offered is chosen. Without a list the header is
    ignored. Without a header nothing is chosen. If no entry was offered, the request is refused.
    """
    if supported is None or offered is None:
        return True, None
    for name in supported:
        if name in offered:
            return True, name
    return False, None


def switching_protocols(headers: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of a 101 response with these headers, in Bandit's order."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("latin-1")


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    getall = getattr(headers, "getall", None)  # asking for its type takes five times as long
    if getall is None:
        return [headers[name]] if name in headers else []
    values: list[str] = getall(name, [])
    return values


def _tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")]


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
