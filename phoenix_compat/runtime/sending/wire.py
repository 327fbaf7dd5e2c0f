"""Combines a serializer with a transport's framing; clients of one wire take the same bytes."""

from __future__ import annotations

from typing import ClassVar, Final

from phoenix_compat.protocol.frame import BINARY, CLOSE, TEXT, frame_header, server_frame
from phoenix_compat.protocol.message import BinaryFrame, Frame
from phoenix_compat.protocol.serializer import Serializer
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.runtime.sending.topic_fanout import TopicFanout

_HEADERS: Final = 1_024
_TEXT_HEADERS: Final = tuple(frame_header(TEXT, size) for size in range(_HEADERS))
"""The frame headers for short texts, by length."""


class ByteWire:
    """A serializer and a transport's framing. Packed messages can be concatenated.

    Attributes:
        serializer: turns messages into frames.
        tick: the buffered writes of the current loop tick.
        max_outbox_bytes: see Limits.
        counters: how often each limit was reached.
        transport: the name of the transport.
        sockets: the clients that use this wire now.
        frames_received, bytes_received: messages of clients, and their bytes without framing.
        frames_sent, bytes_sent: packed messages for clients, and their bytes. A broadcast counts
            once for each client, whether or not its connection takes it.
    """

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "counters",
        "frames_received",
        "frames_sent",
        "max_outbox_bytes",
        "serializer",
        "sockets",
        "tick",
    )

    transport: ClassVar[str] = "other"

    def __init__(
        self, serializer: Serializer, tick: Tick, limits: Limits, counters: Counters
    ) -> None:
        self.serializer = serializer
        self.tick = tick
        self.max_outbox_bytes = limits.max_outbox_bytes
        self.counters = counters
        self.sockets = 0
        self.frames_received = 0
        self.bytes_received = 0
        self.frames_sent = 0
        self.bytes_sent = 0

    def pack(self, frame: Frame) -> bytes:
        """Add the transport's framing to an encoded message."""
        raise NotImplementedError

    def unpack(self, packet: bytes) -> Frame | None:
        """The message in a packet of `pack`; None for another packet, such as a pong."""
        raise NotImplementedError

    def open_fanout(self) -> TopicFanout:
        """See pubsub.Wire."""
        return TopicFanout(self)


class WebSocketWire(ByteWire):
    """Packs each message into one websocket frame."""

    __slots__ = ()

    transport = "websocket"

    def pack(self, frame: Frame) -> bytes:
        """Put an encoded message into a websocket frame."""
        size = len(frame)
        if type(frame) is bytes and size < _HEADERS:
            return _TEXT_HEADERS[size] + frame
        return frame_header(BINARY if isinstance(frame, BinaryFrame) else TEXT, size) + frame

    def unpack(self, packet: bytes) -> Frame | None:
        """See ByteWire."""
        opcode, payload = server_frame(packet)
        return None if opcode >= CLOSE else BinaryFrame(payload) if opcode == BINARY else payload
