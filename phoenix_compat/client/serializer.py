"""The two formats of messages, in the client's direction.

    V1 text    {"topic": t, "event": e, "payload": p, "ref": r, "join_ref": j}    without join_ref
                                                                                  from the server
    V2 text    [join_ref, ref, topic, event, payload]
    V2 binary  kind (1 byte), the sizes of the strings (1 byte each), the strings, then the data:
               out  push       0  join_ref ref topic event
               in   push       0  join_ref     topic event
               in   reply      1  join_ref ref topic status
               in   broadcast  2               topic event

Source: phoenix.js 1.8, serializer.js; for V1, phoenix 1.8.12, v1_json_serializer.ex.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from phoenix_compat.bounded import brief
from phoenix_compat.client.options import Vsn
from phoenix_compat.errors import EncodeError, InvalidMessageError
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import (
    PHX_CLOSE,
    PHX_ERROR,
    PHX_REPLY,
    BinaryFrame,
    Frame,
    Message,
)

_BYTES: Final = (bytes, bytearray, memoryview)
_PUSH, _REPLY, _BROADCAST = 0, 1, 2
_SIZES: Final = {_PUSH: 3, _REPLY: 4, _BROADCAST: 2}
_MAX_FIELD_BYTES: Final = 255


class ClientSerializer(Protocol):
    """Turns messages into frames and back. All clients share one object."""

    @property
    def vsn(self) -> Vsn:
        """The version to ask the server for."""

    def encode(self, message: Message) -> Frame:
        """Write a message. Raises EncodeError."""

    def decode(self, data: bytes, *, is_binary: bool) -> Message:
        """Read a message of the server. Raises RemoteProtocolError."""


class _V1Message(msgspec.Struct, gc=False):
    topic: Any
    event: Any
    payload: Any
    ref: Any = None


class _V1:
    vsn: Vsn = "1.0.0"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_V1Message)

    def encode(self, message: Message) -> Frame:
        if isinstance(message.payload, _BYTES):
            raise EncodeError('V1 has no binary messages; use Client(vsn="2.0.0")')
        fields = msgspec.structs.asdict(message)
        return jason.encode(fields)

    def decode(self, data: bytes, *, is_binary: bool) -> Message:
        del is_binary  # V1 has no binary messages
        read = jason.decode(self._decoder, data)
        # The ref of these two is the join_ref of the channel that ended.
        join_ref = read.ref if read.event in {PHX_CLOSE, PHX_ERROR} else None
        return Message(join_ref, read.ref, read.topic, read.event, read.payload)


class _V2:
    vsn: Vsn = "2.0.0"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Message)

    def encode(self, message: Message) -> Frame:
        if isinstance(message.payload, _BYTES):
            return _encode_binary(message)
        return jason.encode(message)

    def decode(self, data: bytes, *, is_binary: bool) -> Message:
        if is_binary:
            return _decode_binary(data)
        return jason.decode(self._decoder, data)


def _encode_binary(message: Message) -> Frame:
    strings = [
        _field(name, getattr(message, name)) for name in ("join_ref", "ref", "topic", "event")
    ]
    head = bytes((_PUSH, *map(len, strings))) + b"".join(strings)
    return BinaryFrame(head + bytes(message.payload))


def _field(name: str, value: str | None) -> bytes:
    data = (value or "").encode()
    if len(data) > _MAX_FIELD_BYTES:
        raise EncodeError(
            f"the {name} of a binary message has at most {_MAX_FIELD_BYTES} bytes;"
            f" {brief(value, 40)} has {len(data)}"
        )
    return data


def _decode_binary(data: bytes) -> Message:
    kind = data[0] if data else None
    if kind not in _SIZES:
        raise InvalidMessageError("a binary frame of a server has kind 0, 1 or 2")
    count = _SIZES[kind]
    sizes = data[1 : 1 + count]
    start = 1 + count
    strings = []
    for size in sizes:
        strings.append(data[start : start + size].decode("utf-8", "replace"))
        start += size
    if len(sizes) < count or start > len(data):
        raise InvalidMessageError("a binary frame is shorter than its size fields")
    payload = bytes(data[start:])
    if kind == _PUSH:
        join_ref, topic, event = strings
        return Message(join_ref, None, topic, event, payload)
    if kind == _REPLY:
        join_ref, ref, topic, status = strings
        reply = {"status": status, "response": payload}
        return Message(join_ref, ref, topic, PHX_REPLY, reply)
    topic, event = strings
    return Message(None, None, topic, event, payload)


SERIALIZERS: Final[dict[Vsn, ClientSerializer]] = {"1.0.0": _V1(), "2.0.0": _V2()}
