"""Packed messages can be concatenated, and split again."""

from __future__ import annotations

from phoenix_compat.protocol.message import BinaryFrame
from phoenix_compat.protocol.serializer import V2
from phoenix_compat.runtime.limits import Counters, Limits
from phoenix_compat.runtime.sending.tick import Tick
from phoenix_compat.transports.asgi.wire import MessageWire, split_messages

WIRE = MessageWire(V2, Tick(), Limits(), Counters())


def test_messages_are_split_again() -> None:
    """Text becomes str and binary stays bytes, also if it is empty or long."""
    frames = ["é".encode(), BinaryFrame(b"\xff\x00"), b"", BinaryFrame(b""), b"x" * 100_000]

    split = split_messages(b"".join(WIRE.pack(frame) for frame in frames))

    assert split == ["é", b"\xff\x00", "", b"", "x" * 100_000]
    assert split_messages(b"") == []
