"""Decodes frames of a server, as a client would, and reports what is wrong with the frame itself.

V2 text    [join_ref, ref, topic, event, payload]
V1 text    {"event", "payload", "ref", "topic"}
V2 binary  0 push, 1 reply, 2 broadcast; see `phoenix_compat.protocol.serializer`
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from phoenix_compat.conformance.trace.rules import wire_rules as rules
from phoenix_compat.conformance.trace.rules.rule import Rule
from phoenix_compat.errors import EncodeError, ProtocolError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.elixir_text import elixir_text
from phoenix_compat.protocol.message import PHX_REPLY

Report = Callable[[Rule, str], None]
"""Takes a broken rule and what exactly was found."""


class Version(Enum):
    """The version of the serializer on a connection."""

    V1 = "V1"
    V2 = "V2"


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """A message from a server.

    Attributes:
        has_join_ref: False if the format has no join_ref: V1 and binary broadcasts.
        payload: JSON, or bytes.
    """

    join_ref: Any
    ref: Any
    topic: str
    event: str
    payload: Any
    has_join_ref: bool = True

    @property
    def is_reply(self) -> bool:
        """Whether it is a reply; other events may also be named phx_reply."""
        if self.event != PHX_REPLY:
            return False
        looks_like_one = isinstance(self.payload, dict) and "status" in self.payload
        return looks_like_one or self.ref is not None

    @property
    def is_binary(self) -> bool:
        """Whether it came in a binary frame, in which refs are texts."""
        body = self.payload.get("response") if isinstance(self.payload, dict) else self.payload
        return isinstance(body, bytes)

    def has_sent(self, ref: Any, sent: Any) -> bool:
        """Whether a ref of this message is the one that the client sent."""
        if not self.is_binary:
            return same(ref, sent)
        try:
            return (ref or "") == elixir_text(sent)
        except EncodeError:
            return False


def key(value: Any) -> str:
    """A JSON value as a dict key; 1, 1.0, "1" and true are four different keys."""
    return json.dumps(value, sort_keys=True)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, including their types."""
    return key(one) == key(other)


_JSON = msgspec.json.Decoder(Any)
_V1_KEYS = frozenset({"event", "payload", "ref", "topic"})
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NEEDLESS_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u(?!00[01])")
_KINDS = {0: ("push", 3), 1: ("reply", 4), 2: ("broadcast", 2)}


def read_text(text: str, version: Version, report: Report) -> ServerMessage | None:
    """Decode a text frame; None if it is not a message of this version."""
    try:
        found = jason.decode(_JSON, text.encode("utf-8", "surrogatepass"))
    except ProtocolError as error:
        report(rules.SHAPE_NOT_JSON, str(error))
        return None
    _check_encoding(text, report)
    if version is Version.V2 and isinstance(found, list):
        return _read_array(found, report)
    if version is Version.V1 and isinstance(found, dict):
        return _read_object(found, report)
    report(rules.SHAPE_OTHER_VERSION, f"the connection speaks {version.value}")
    return None


def _check_encoding(text: str, report: Report) -> None:
    if re.search(r"\s", _STRING.sub("", text)):
        report(rules.SHAPE_NOT_COMPACT, "whitespace between tokens")
    if _NEEDLESS_ESCAPE.search(text):
        report(rules.SHAPE_ESCAPED, "a \\u escape of a character that is not a control character")


def _read_array(found: list[Any], report: Report) -> ServerMessage | None:
    if len(found) != 5:
        report(rules.SHAPE_ARRAY_LENGTH, f"{len(found)} elements")
    if len(found) < 5:
        return None
    join_ref, ref, topic, event, payload = found[:5]
    if not _are_names(topic, event, report):
        return None
    return ServerMessage(join_ref, ref, topic, event, payload)


def _read_object(found: dict[str, Any], report: Report) -> ServerMessage | None:
    if found.keys() != _V1_KEYS:
        extra, missing = sorted(found.keys() - _V1_KEYS), sorted(_V1_KEYS - found.keys())
        report(rules.SHAPE_V1_KEYS, f"extra: {extra or 'none'}, missing: {missing or 'none'}")
    if _V1_KEYS - found.keys() - {"ref"}:
        return None
    topic, event = found["topic"], found["event"]
    if not _are_names(topic, event, report):
        return None
    return ServerMessage(None, found.get("ref"), topic, event, found["payload"], has_join_ref=False)


def _are_names(topic: object, event: object, report: Report) -> bool:
    if isinstance(topic, str) and isinstance(event, str):
        return True
    report(rules.SHAPE_NAMES, f"topic {topic!r}, event {event!r}")
    return False


def read_binary(data: bytes, version: Version, report: Report) -> ServerMessage | None:
    """Decode a binary frame; None if it is not a message."""
    if version is Version.V1:
        report(rules.BINARY_ON_V1, f"{len(data)} bytes")
        return None
    if data[:1] in {b"[", b"{"}:
        report(rules.BINARY_JSON, repr(data[:40]))
        return None
    kind, places = _KINDS.get(data[0] if data else -1, ("", 0))
    if not kind:
        report(rules.BINARY_KIND, f"kind {data[0]}" if data else "an empty frame")
        return None
    sizes = data[1 : 1 + places]
    start = 1 + places + sum(sizes)
    if len(sizes) < places or start > len(data):
        report(rules.BINARY_SIZES, f"a {kind} of {len(data)} bytes, sizes {list(sizes)}")
        return None
    strings = _read_strings(data, sizes, report)
    return None if strings is None else _build(kind, strings, data[start:])


def _read_strings(data: bytes, sizes: bytes, report: Report) -> list[str] | None:
    strings, start = [], 1 + len(sizes)
    for size in sizes:
        try:
            strings.append(data[start : start + size].decode())
        except UnicodeDecodeError:
            report(rules.BINARY_UTF8, repr(data[start : start + size]))
            return None
        start += size
    return strings


def _build(kind: str, strings: list[str], payload: bytes) -> ServerMessage:
    """Build the message; an empty ref stands for null."""
    match kind, strings:
        case "push", [join_ref, topic, event]:
            return ServerMessage(join_ref or None, None, topic, event, payload)
        case "reply", [join_ref, ref, topic, status]:
            body = {"status": status, "response": payload}
            return ServerMessage(join_ref or None, ref or None, topic, PHX_REPLY, body)
        case _:
            topic, event = strings
            return ServerMessage(None, None, topic, event, payload, has_join_ref=False)
