"""The frames of the bus, and their encoding with a length prefix.

    length (4 bytes, big-endian) | MessagePack array: [tag, fields…]

All frames from one node to another use one stream, so they arrive in order. Only casts are
numbered: a missing number is a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from phoenix_compat.cluster.bus import MAX_MESSAGE_BYTES
from phoenix_compat.errors import PhoenixCompatError

MAX_FRAME_BYTES: Final = MAX_MESSAGE_BYTES
"""Longer frames are never sent; a stream with a longer one is closed."""

_LENGTH_BYTES: Final = 4

T = TypeVar("T")


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """The sender and its state: the first frame of a stream, repeated after changes.

    Attributes:
        node: the number of the node, from 0.
        epoch: a random number of the process; it changes when the node is restarted.
        seq: the number of the last cast, sent or dropped.
        roles: what the node does for all others.
    """

    node: int
    epoch: int
    seq: int
    roles: tuple[str, ...]


class Cast(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """A message to all other nodes."""

    seq: int
    kind: str
    body: bytes


class Call(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """A request to one node."""

    number: int
    kind: str
    body: bytes


class Reply(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """The reply to a call; `error` is the reason if the call failed."""

    number: int
    body: bytes
    error: str | None = None


Frame: TypeAlias = Hello | Cast | Call | Reply

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Frame)


class BrokenStreamError(PhoenixCompatError):
    """A stream of the bus contains invalid frames, so its sender is not a node of this server."""


def pack(frame: Frame) -> bytes:
    """Encode a frame with its length prefix."""
    return prefixed(_encoder.encode(frame))


def unpack(data: memoryview) -> Frame:
    """Decode a frame without its length prefix.

    Raises:
        BrokenStreamError: it is not valid.
    """
    try:
        frame: Frame = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise BrokenStreamError(f"an invalid frame: {error}") from error
    return frame


def prefixed(data: bytes) -> bytes:
    """Put the length before an encoded frame."""
    return len(data).to_bytes(_LENGTH_BYTES) + data


class FrameReader(Generic[T]):
    """Splits a stream of bytes into frames.

    Args:
        decode: decodes one frame, or raises BrokenStreamError.
    """

    __slots__ = ("_buffer", "_decode")

    def __init__(self, decode: Callable[[memoryview], T]) -> None:
        self._buffer = bytearray()
        self._decode = decode

    def feed(self, data: bytes) -> Iterator[T]:
        """Add bytes and yield the frames that are complete.

        Raises:
            BrokenStreamError: the bytes are not valid frames.
        """
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        with memoryview(buffer) as view:
            while end - start >= _LENGTH_BYTES:
                length = int.from_bytes(view[start : start + _LENGTH_BYTES])
                if length > MAX_FRAME_BYTES:
                    raise BrokenStreamError(f"a frame of {length} bytes, which is too long")
                stop = start + _LENGTH_BYTES + length
                if stop > end:
                    break
                yield self._decode(view[start + _LENGTH_BYTES : stop])
                start = stop
        del buffer[:start]
