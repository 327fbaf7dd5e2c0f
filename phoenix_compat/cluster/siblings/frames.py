"""The frames between the process that has the connection to the broker and its siblings.

They have the length prefix of unix.frames. A message of the bus stays encoded in them.

    sibling → holder    Join, then Message…
    holder → sibling    Connected, once, then Message…, and Ended
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from phoenix_compat.cluster.unix.frames import BrokenStreamError, prefixed


class Join(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """The first frame of a sibling.

    Attributes:
        inbox: the subject of its inbox.
    """

    inbox: str


class Connected(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """The holder is connected, and takes messages from now on.

    Attributes:
        max_payload_bytes: see Broker.
    """

    max_payload_bytes: int


class Message(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """A message to publish, or to deliver."""

    subject: str
    data: bytes


class Ended(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """The holder has lost the connection, or could not make it."""

    reason: str


Frame: TypeAlias = Join | Connected | Message | Ended

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Frame)


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
