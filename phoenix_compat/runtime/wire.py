"""Wires: a serializer with a transport's framing. Clients of one wire take the same bytes."""

from __future__ import annotations

from typing import Final

from phoenix_compat.protocol.frame import BINARY, TEXT, frame_header
from phoenix_compat.protocol.message import BinaryFrame, Frame
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.tick import Tick
from phoenix_compat.runtime.topic_fanout import TopicFanout

_HEADERS: Final = 1_024
_TEXT_HEADERS: Final = tuple(frame_header(TEXT, size) for size in range(_HEADERS))
"""What stands before text of each usual length."""


class ByteWire:
    """A serializer and a transport's framing. Packed messages are joined by concatenation.

    Attributes:
        serializer: what turns messages into frames.
        tick: when what is produced now is written.
        max_outbox_bytes: see Limits.
        counters: how often a bound was met.
    """

    __slots__ = ("counters", "max_outbox_bytes", "serializer", "tick")

    def __init__(
        self, serializer: Serializer, tick: Tick, limits: Limits, counters: Counters
    ) -> None:
        self.serializer = serializer
        self.tick = tick
        self.max_outbox_bytes = limits.max_outbox_bytes
        self.counters = counters

    def pack(self, frame: Frame) -> bytes:
        """The bytes that carry an encoded message."""
        raise NotImplementedError

    def open_fanout(self) -> TopicFanout:
        """See pubsub.Wire."""
        return TopicFanout(self)


class WebSocketWire(ByteWire):
    """Websocket frames."""

    __slots__ = ()

    def pack(self, frame: Frame) -> bytes:
        """A websocket frame around an encoded message."""
        size = len(frame)
        if type(frame) is bytes and size < _HEADERS:
            return _TEXT_HEADERS[size] + frame
        return frame_header(BINARY if isinstance(frame, BinaryFrame) else TEXT, size) + frame
