"""The messages between the nodes of a BrokerBus, and their encoding.

    version (1 byte) | kind (1) | node (6, big-endian) | epoch (8) | MessagePack array: fields…

A node recognizes its own messages by bytes 2 to 15, without decoding the rest. Only casts are
numbered, from 1 within an epoch: a missing number is a gap.

Nodes of two releases work together during an upgrade: new fields are added at the end, with a
default, and older nodes ignore them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from phoenix_compat.errors import PhoenixCompatError

VERSION: Final = 1
NODE_BYTES: Final = 6
HEADER_BYTES: Final = 16

_EPOCH_BYTES: Final = 8


class Hello(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The state of a node; said every few seconds, and after changes.

    Attributes:
        seq: the number of the last cast, sent or dropped.
        roles: what the node does for all others.
        name: what people call the node, for logs.
        asks: whether each other node shall say its own Hello to this one.
        number: of this Hello. One of a connection that was given up may come after a later one.
    """

    seq: int
    roles: tuple[str, ...]
    name: str
    asks: bool = False
    number: int = 0


class Cast(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message to all other nodes."""

    seq: int
    kind: str
    body: bytes


class Call(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A request to one node."""

    number: int
    kind: str
    body: bytes


class Reply(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The reply to a call.

    Attributes:
        seq: the number of the last cast of this node before the reply.
        error: why the call failed, if it did.
    """

    seq: int
    number: int
    body: bytes
    error: str | None = None


class Bye(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The node leaves."""


class Part(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A part of a message that is too long for the broker.

    Attributes:
        number: of the whole message.
        index: of this part, from 0.
        count: of all parts.
        data: joined with that of the other parts it is the message, with its header.
    """

    number: int
    index: int
    count: int
    data: bytes


Message: TypeAlias = Hello | Cast | Call | Reply | Bye | Part

_KINDS: Final[tuple[type[Any], ...]] = (Hello, Cast, Call, Reply, Bye, Part)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}
_encoder: Final = msgspec.msgpack.Encoder()
_decoders: Final = tuple(msgspec.msgpack.Decoder(kind) for kind in _KINDS)


class InvalidMessageError(PhoenixCompatError):
    """A message on the subjects of a bus is not one of its messages."""


class Received(NamedTuple):
    """A message and its sender."""

    node: int
    epoch: int
    message: Message


class Sender:
    """Encodes the messages of one node.

    Attributes:
        identity: bytes 2 to 15 of each message.
    """

    def __init__(self, node: int, epoch: int) -> None:
        self.identity = node.to_bytes(NODE_BYTES) + epoch.to_bytes(_EPOCH_BYTES)
        self._headers = {
            kind: bytes((VERSION, number)) + self.identity for kind, number in _NUMBERS.items()
        }

    def pack(self, message: Message) -> bytes:
        """Encode a message."""
        data = bytearray(self._headers[type(message)])
        _encoder.encode_into(message, data, HEADER_BYTES)
        return bytes(data)


def kind_of(data: bytes) -> type[Any] | None:
    """The kind of an encoded message; None if it is none."""
    is_known = len(data) >= HEADER_BYTES and data[0] == VERSION and data[1] < len(_KINDS)
    return _KINDS[data[1]] if is_known else None


def unpack(data: bytes) -> Received:
    """Decode a message.

    Raises:
        InvalidMessageError: it is not a message of this version of the bus.
    """
    if len(data) < HEADER_BYTES:
        raise InvalidMessageError(f"a message of {len(data)} bytes, which is too short")
    if data[0] != VERSION or data[1] >= len(_KINDS):
        raise InvalidMessageError(
            f"a message of version {data[0]} and kind {data[1]}; this node speaks version {VERSION}"
        )
    node = int.from_bytes(data[2 : 2 + NODE_BYTES])
    epoch = int.from_bytes(data[2 + NODE_BYTES : HEADER_BYTES])
    try:
        message: Message = _decoders[data[1]].decode(memoryview(data)[HEADER_BYTES:])
    except msgspec.MsgspecError as error:
        raise InvalidMessageError(f"an invalid message: {error}") from error
    return Received(node, epoch, message)
