"""Phoenix's two serializers: V1 (objects) and V2 (arrays, and a binary format).

    V1 text    {"event": e, "payload": p, "ref": r, "topic": t}     exactly these keys when written
    V2 text    [join_ref, ref, topic, event, payload]
    V2 binary  kind (1 byte), the sizes of the strings (1 byte each), the strings, then the data:
               in   push       0  join_ref ref topic event
               out  push       0  join_ref     topic event
               out  reply      1  join_ref ref topic status
               out  broadcast  2               topic event

Source: phoenix 1.8.12, lib/phoenix/socket/serializers/v1_json_serializer.ex and
v2_json_serializer.ex; negotiation: lib/phoenix/socket.ex, negotiate_serializer/3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec

from phoenix_compat.bounded import brief
from phoenix_compat.errors import (
    EncodeError,
    InvalidMessageError,
    RemoteProtocolError,
    WrongVersionError,
)
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.elixir_text import elixir_text
from phoenix_compat.protocol.jason import Buffer
from phoenix_compat.protocol.message import (
    PHX_REPLY,
    BinaryFrame,
    Broadcast,
    Frame,
    Message,
    Payload,
    Ref,
)

_BYTES: Final = (bytes, bytearray, memoryview)
_KIND_PUSH: Final = 0
_KIND_REPLY: Final = 1
_KIND_BROADCAST: Final = 2
_MAX_FIELD_BYTES: Final = 255
_REFS: Final = frozenset({"join_ref", "ref"})
"""The fields that Phoenix converts with to_string/1: any JSON value but an object may be a ref."""


class Serializer(Protocol):
    """Turns frames into messages and back. All connections share one object."""

    @property
    def name(self) -> str:
        """The name in log lines."""

    def decode(self, data: Buffer, *, is_binary: bool) -> Message:
        """Read one frame of a client.

        Raises:
            RemoteProtocolError: the frame is unreadable; the connection is closed with 1011.
        """

    def encode(self, message: Message) -> Frame:
        """Write a push. Raises EncodeError."""

    def encode_reply(
        self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload
    ) -> Frame:
        """Write `phx_reply`, the reply to one message. Raises EncodeError."""

    def fastlane(self, broadcast: Broadcast) -> Frame:
        """Write a broadcast, once for all clients of this version. Raises EncodeError."""


_MAX_INDENT_BYTES: Final = 64
_MESSAGE_ITEMS: Final = 5
_V1_KEYS: Final = ("topic", "event", "payload", "ref")

# Neither skips anything: msgspec does not check what it skips.
_ANY: Final = msgspec.json.Decoder()
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


class V1JSONSerializer:
    """The serializer for `vsn=1.0.0`, and for clients that send no `vsn`.

    It does not support binary messages: a client's opcode is ignored, and sending bytes is an
    error.
    """

    name = "V1JSONSerializer"

    def decode(self, data: Buffer, *, is_binary: bool) -> Message:
        """Read an object with topic, event, payload, ref and an optional join_ref."""
        try:
            keys = jason.decode(_OBJECT, data)
        except InvalidMessageError as error:
            raise _of_version(error, data, b"[", "V2", "2.0.0") from error
        for key in _V1_KEYS:
            if key not in keys:
                raise InvalidMessageError(f"not a Phoenix message: it has no {key!r}")
        fields = jason.decode_first_key_wins(data)
        return Message(
            fields.get("join_ref"),
            fields["ref"],
            fields["topic"],
            fields["event"],
            fields["payload"],
        )

    def encode(self, message: Message) -> Frame:
        """Write a push; V1 has no join_ref."""
        return _v1_frame(message.event, message.payload, message.ref, message.topic)

    def encode_reply(
        self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload
    ) -> Frame:
        """Write `phx_reply` with payload `{"response", "status"}`."""
        del join_ref  # V1 has none
        _refuse_binary(response)
        return _v1_frame(PHX_REPLY, {"response": response, "status": status}, ref, topic)

    def fastlane(self, broadcast: Broadcast) -> Frame:
        """Write a broadcast; it has the same form as a push."""
        return _v1_frame(broadcast.event, broadcast.payload, None, broadcast.topic)


def _of_version(
    error: RemoteProtocolError, data: Buffer, start: bytes, version: str, vsn: str
) -> RemoteProtocolError:
    """The error with the remedy, if JSON of the wrong type is what another version sends."""
    is_other = isinstance(error, InvalidMessageError)
    if is_other and bytes(memoryview(data)[:_MAX_INDENT_BYTES]).lstrip().startswith(start):
        return WrongVersionError(f"the client sends {version} frames; set vsn to {vsn!r} there")
    return error


def _v1_frame(event: Any, payload: Any, ref: Any, topic: Any) -> Frame:
    _refuse_binary(payload)
    return jason.encode({"event": event, "payload": payload, "ref": ref, "topic": topic})


def _refuse_binary(payload: Any) -> None:
    if isinstance(payload, _BYTES):
        raise EncodeError("V1 clients cannot receive binary payloads; send JSON, or use V2")


class V2JSONSerializer:
    """The serializer for `vsn=2.0.0`: compact arrays, and a binary format for payloads of bytes."""

    name = "V2JSONSerializer"

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(Message).decode

    def decode(self, data: Buffer, *, is_binary: bool) -> Message:
        """Read an array of at least five items (further items are ignored), or a binary push."""
        if is_binary:
            return _decode_binary_push(data)
        try:
            message = self._decode(data)
        except jason.UNREADABLE as error:
            message = self._decode_longer(data, jason.refusal(error))
        if len(data) > jason.MAX_INTEGER_CHARS:
            jason.refuse_long_integers(data)
        if jason.may_repeat_keys(data, message.payload, message.topic):
            return Message(*jason.decode_first_key_wins(data)[:5])
        return message

    def _decode_longer(self, data: Buffer, refusal: RemoteProtocolError) -> Message:
        """Read an array of more than five items, all of which must be JSON; or raise the error."""
        if isinstance(refusal, InvalidMessageError):
            items = jason.decode(_ANY, data)
            if isinstance(items, list) and len(items) >= _MESSAGE_ITEMS:
                return Message(*items[:_MESSAGE_ITEMS])
        raise _of_version(refusal, data, b"{", "V1", "1.0.0")

    def encode(self, message: Message) -> Frame:
        """Write a push: `[join_ref, null, topic, event, payload]`, or kind 0.

        Raises:
            EncodeError: the payload is neither an object nor bytes, or a string of a binary push is
                longer than 255 bytes.
        """
        payload = message.payload
        if type(payload) is not dict and isinstance(payload, _BYTES):
            head = _binary_head(
                _KIND_PUSH,
                ("join_ref", message.join_ref),
                ("topic", message.topic),
                ("event", message.event),
            )
            return BinaryFrame(head + bytes(payload))
        _require_object(payload)
        return jason.encode(message)

    def encode_reply(
        self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload
    ) -> Frame:
        """Write a reply; a response may be any JSON, or bytes (kind 1)."""
        if type(response) is not dict and isinstance(response, _BYTES):
            head = _binary_head(
                _KIND_REPLY,
                ("join_ref", join_ref),
                ("ref", ref),
                ("topic", topic),
                ("status", status),
            )
            return BinaryFrame(head + bytes(response))
        body = {"response": response, "status": status}
        return jason.encode((join_ref, ref, topic, PHX_REPLY, body))

    def fastlane(self, broadcast: Broadcast) -> Frame:
        """Write a broadcast: `[null, null, topic, event, payload]`, or kind 2.

        Raises:
            EncodeError: as for `encode`.
        """
        payload = broadcast.payload
        if type(payload) is not dict and isinstance(payload, _BYTES):
            head = _binary_head(
                _KIND_BROADCAST, ("topic", broadcast.topic), ("event", broadcast.event)
            )
            return BinaryFrame(head + bytes(payload))
        _require_object(payload)
        return jason.encode((None, None, broadcast.topic, broadcast.event, payload))


def _require_object(payload: Any) -> None:
    if type(payload) is not dict and not jason.is_object(payload):
        raise EncodeError(
            f"the payload of a V2 push or broadcast must be a dict or bytes, not "
            f"{type(payload).__name__}; "
            "wrap the value in a dict"
        )


def _binary_head(kind: int, *fields: tuple[str, Any]) -> bytes:
    """The kind, the sizes and the strings. Sizes are in bytes of UTF-8."""
    strings = [_binary_field(name, value) for name, value in fields]
    return bytes((kind, *map(len, strings))) + b"".join(strings)


def _binary_field(name: str, value: Any) -> bytes:
    if name in _REFS:
        value = elixir_text(value)
    if not isinstance(value, str):
        raise EncodeError(f"unable to convert {name} to binary: it is {brief(value)}, not a string")
    data = value.encode("utf-8", "surrogateescape")
    if len(data) > _MAX_FIELD_BYTES:
        raise EncodeError(
            f"unable to convert {name} to binary: {len(data)} bytes, at most {_MAX_FIELD_BYTES}"
        )
    return data


def _decode_binary_push(data: Buffer) -> Message:
    """Read kind 0: four sizes, join_ref, ref, topic, event; the rest is the payload.

    Strings that are not UTF-8 are kept as surrogate escapes, because Phoenix does not check them
    until it writes them.
    """
    if len(data) < 5 or data[0] != _KIND_PUSH:
        raise InvalidMessageError(
            "a binary frame of a client must be a push, with kind 0 and four sizes"
        )
    strings = []
    start = 5
    for size in data[1:5]:
        strings.append(data[start : start + size].decode("utf-8", "surrogateescape"))
        start += size
    if start > len(data):
        raise InvalidMessageError("a binary push is shorter than its size fields")
    join_ref, ref, topic, event = strings
    return Message(join_ref, ref, topic, event, bytes(data[start:]))


V1: Final = V1JSONSerializer()
V2: Final = V2JSONSerializer()

DEFAULT_VSN: Final = "1.0.0"
"""The version of a client that sends no `vsn`."""

DEFAULT_SERIALIZERS: Final[Sequence[tuple[Serializer, str]]] = ((V1, "~> 1.0.0"), (V2, "~> 2.0.0"))
"""Serializers with the versions they serve, in the order in which they are tried."""

# A number without leading zeros, or a word.
_PRERELEASE: Final = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    rf"(?:-({_PRERELEASE}(?:\.{_PRERELEASE})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


def is_version(vsn: object) -> bool:
    """Whether a client's `vsn` is a version at all."""
    return isinstance(vsn, str) and _SEMVER.fullmatch(vsn) is not None


def negotiate(
    vsn: Any, serializers: Sequence[tuple[Serializer, str]] = DEFAULT_SERIALIZERS
) -> Serializer | None:
    """The first serializer whose requirement matches `vsn`; None if the client must be refused.

    `vsn` must be a strict SemVer string; requirements have the form `~> MAJOR.MINOR.PATCH`.

    Source: phoenix 1.8.12, socket.ex, negotiate_serializer/3; Elixir's Version.match?/2.
    """
    if not isinstance(vsn, str):
        return None
    for serializer, requirement in serializers:
        if _is_admitted(vsn, requirement):
            return serializer
    return None


@lru_cache(maxsize=64)  # clients send only a few different versions
def _is_admitted(vsn: str, requirement: str) -> bool:
    found = _SEMVER.fullmatch(vsn)
    if found is None:
        return False
    try:
        version = tuple(int(number) for number in found.group(1, 2, 3))
    except ValueError:  # more digits than Python converts; no requirement has so many
        return False
    is_prerelease = found.group(4) is not None
    least = tuple(int(number) for number in requirement.removeprefix("~>").strip().split("."))
    return version[:2] == least[:2] and (
        version > least or (version == least and not is_prerelease)
    )
