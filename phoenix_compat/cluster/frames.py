"""What goes over the bus: frames as values, and as bytes with their length before them.

    length (4 bytes, big-endian) | MessagePack array: [tag, fields…]

All frames of one node to another go through one stream, so each arrives after all that was sent
before it. Only casts are numbered: a number that is left out is a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from phoenix_compat.errors import PhoenixCompatError

MAX_FRAME_BYTES: Final = 64 * 2**20
"""A longer frame is never sent; who announces one has lost its senses, and is hung up on."""

_LENGTH_BYTES: Final = 4


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """Who speaks, and how far it is: the first frame, and again when something changed.

    Attributes:
        node: its number, from 0.
        epoch: drawn when its process began; another epoch is another life.
        seq: the number of the last cast, sent or lost.
        roles: what it does for all others.
    """

    node: int
    epoch: int
    seq: int
    roles: tuple[str, ...]


class Cast(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """News for every node."""

    seq: int
    kind: str
    body: bytes


class Call(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """A question to one node."""

    number: int
    kind: str
    body: bytes


class Reply(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """The answer to a call; `error` says why there is none."""

    number: int
    body: bytes
    error: str | None = None


Frame: TypeAlias = Hello | Cast | Call | Reply

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Frame)


class BrokenStreamError(PhoenixCompatError):
    """Bytes on the bus that are no frames. The one who sent them is not of our making."""


def pack(frame: Frame) -> bytes:
    """A frame with its length before it."""
    data = _encoder.encode(frame)
    return len(data).to_bytes(_LENGTH_BYTES) + data


class FrameReader:
    """Cuts a stream of bytes into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take some bytes; the frames that are complete with them.

        Raises:
            BrokenStreamError: these are no frames.
        """
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        with memoryview(buffer) as view:
            while end - start >= _LENGTH_BYTES:
                length = int.from_bytes(view[start : start + _LENGTH_BYTES])
                if length > MAX_FRAME_BYTES:
                    raise BrokenStreamError(f"a frame of {length} bytes is announced")
                stop = start + _LENGTH_BYTES + length
                if stop > end:
                    break
                yield _decoded(view[start + _LENGTH_BYTES : stop])
                start = stop
        del buffer[:start]


def _decoded(data: memoryview) -> Frame:
    try:
        frame: Frame = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise BrokenStreamError(f"no frame: {error}") from error
    return frame
