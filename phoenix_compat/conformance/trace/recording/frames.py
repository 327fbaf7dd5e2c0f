"""What a recording is made of, whatever file it came from.

    JSON lines   one object a line, `jsonl` reads them
    HAR          what a browser's network panel exports, `har` reads it

Both give entries: one thing that one side did on one connection.
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
    """Who sent a frame, and who erred."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Open:
    """The handshake.

    Attributes:
        url: what the client asked for, with its query; None when the recording does not say.
        status: what the server answered; 101 is a websocket.
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
    """One thing that happened on one connection.

    Attributes:
        number: its place in the recording, from 1.
        place: where it stands in the file, for people.
        conn: the name of its connection.
        at_s: when, in seconds from any origin; None when the recording does not say.
    """

    number: int
    place: str
    conn: str
    at_s: float | None
    side: Side
    frame: Frame


def member(found: Mapping[str, Any], key: str, kinds: type | tuple[type, ...], place: str) -> Any:
    """The value of a key, which must be there and of that kind.

    Raises:
        TraceError: it is missing, or another kind of value.
    """
    if key not in found:
        raise TraceError(f'{place}: "{key}" is missing')
    value = found[key]
    # To Python, true is an integer; to JSON it is not.
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise TraceError(f'{place}: "{key}" must be {_name(kinds)}, not {_shown(value)}')
    return value


def bytes_member(found: Mapping[str, Any], key: str, place: str) -> bytes:
    """The bytes of a key that holds base64.

    Raises:
        TraceError: it is missing, no string, or no base64.
    """
    text = member(found, key, str, place)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TraceError(f'{place}: "{key}" of a binary frame is not base64: {error}') from None


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        TraceError: it is not UTF-8. OSError when it cannot be read at all.
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


def _name(kinds: type | tuple[type, ...]) -> str:
    named = kinds if isinstance(kinds, tuple) else (kinds,)
    return "a number" if float in named else " or ".join(_NAMES[kind] for kind in named)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
