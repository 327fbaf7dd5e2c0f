"""Packs messages so that they can be concatenated, and splits them again for ASGI.

ASGI has no frames: each message is an event of its own, with a str or with bytes. The outbox and
the fanouts concatenate packed messages, so each has a prefix here: its kind and its length.
"""

from __future__ import annotations

import struct
from typing import Final

from phoenix_compat.protocol.message import BinaryFrame, Frame
from phoenix_compat.runtime.sending.wire import ByteWire

_PREFIX: Final = struct.Struct(">BI")
_PREFIX_BYTES: Final = _PREFIX.size
_prefix = _PREFIX.pack
_prefix_at = _PREFIX.unpack_from


class MessageWire(ByteWire):
    """Packs each message behind its kind and its length."""

    __slots__ = ()

    transport = "websocket"

    def pack(self, frame: Frame) -> bytes:
        """Put the prefix before an encoded message."""
        return _prefix(isinstance(frame, BinaryFrame), len(frame)) + frame

    def unpack(self, packet: bytes) -> Frame | None:
        """See ByteWire."""
        is_binary, _ = _prefix_at(packet)
        message = packet[_PREFIX_BYTES:]
        return BinaryFrame(message) if is_binary else message


def split_messages(data: bytes) -> list[str | bytes]:
    """The messages in concatenated packed ones: str for text, bytes for binary."""
    messages: list[str | bytes] = []
    start, end = 0, len(data)
    while start < end:
        is_binary, size = _prefix_at(data, start)
        start += _PREFIX_BYTES
        message = data[start : start + size]
        start += size
        messages.append(message if is_binary else message.decode())
    return messages
