"""Defines the entries of a recording, and helpers to read them from files.

    JSON lines   one object per line; read by `jsonl`
    HAR          exported by a browser's network panel; read by `har`

Both give entries: each is one action of one side on one connection.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from phoenix_compat.errors import PhoenixCompatError


class TraceError(PhoenixCompatError):
    """A recording cannot be read; the message names the line and the field."""


class Side(Enum):
    """The client or the server: who sent a frame, or who broke a rule."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Open:
    """The handshake.

    Attributes:
        url: the URL with its query; None if the recording does not have it.
        status: the HTTP status of the response; 101 is a websocket.
        protocols: the subprotocols that the client offered.
        protocol: the one that the server chose, or None.
    """

    url: str | None = None
    status: int = 101
    protocols: tuple[str, ...] = ()
    protocol: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping frame and its payload."""

    data: str


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong frame and its payload."""

    data: str


@dataclass(frozen=True, slots=True)
class Close:
    """A close frame; 1006 stands for a connection that ended without one."""

    code: int
    reason: str = ""


Frame = Open | Text | Binary | Ping | Pong | Close


@dataclass(frozen=True, slots=True)
class Entry:
    """One action on one connection.

    Attributes:
        number: its position in the recording, from 1.
        place: where it is in the file, for people.
        conn: the name of its connection.
        at_s: the time in seconds from any origin; None if the recording does not have it.
    """

    number: int
    place: str
    conn: str
    at_s: float | None
    side: Side
    frame: Frame


def member(found: Mapping[str, Any], key: str, types: type | tuple[type, ...], place: str) -> Any:
    """The value of a key that must exist and have one of these types.

    Raises:
        TraceError: the key is missing, or its value has another type.
    """
    if key not in found:
        raise TraceError(f'{place}: "{key}" is missing')
    value = found[key]
    # In Python, True is an int; in JSON, true is not a number.
    if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
        raise TraceError(f'{place}: "{key}" must be {_name(types)}, not {_shorten(value)}')
    return value


def bytes_member(found: Mapping[str, Any], key: str, place: str) -> bytes:
    """The bytes of a key that holds base64.

    Raises:
        TraceError: the key is missing, or its value is not base64.
    """
    text = member(found, key, str, place)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TraceError(f'{place}: "{key}" of a binary frame is not base64: {error}') from None


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        TraceError: the file is not UTF-8.
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TraceError(f"line {line}: not UTF-8 (byte {error.start} of the file)") from None


_NAMES = {
    str: "a string",
    int: "an integer",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def _name(types: type | tuple[type, ...]) -> str:
    named = types if isinstance(types, tuple) else (types,)
    return "a number" if float in named else " or ".join(_NAMES[kind] for kind in named)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
