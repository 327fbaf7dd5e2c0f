"""The messages of a BrokerBus, and the parts of long ones."""

from __future__ import annotations

import msgspec
import pytest

from phoenix_compat.cluster.brokers.messages import (
    HEADER_BYTES,
    VERSION,
    Bye,
    Call,
    Cast,
    Hello,
    InvalidMessageError,
    Message,
    Part,
    Reply,
    Sender,
    kind_of,
    unpack,
)
from phoenix_compat.cluster.brokers.parts import Joiner, split

NODE, EPOCH = 2**48 - 1, 2**63
SENDER = Sender(NODE, EPOCH)


@pytest.mark.parametrize(
    "message",
    [
        Hello(3, ("cook",), "web-1:17", asks=True),
        Cast(1, "news", b"\x00\xff"),
        Call(2, "ask", b""),
        Reply(3, 2, b"yes"),
        Reply(3, 2, b"", "no"),
        Bye(),
        Part(1, 0, 2, b"half"),
    ],
)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    """With its node and epoch, which stand at a fixed place."""
    data = SENDER.pack(message)

    assert unpack(data) == (NODE, EPOCH, message)
    assert kind_of(data) is type(message)
    assert data[2:HEADER_BYTES] == SENDER.identity


def test_fields_of_a_later_release_are_ignored() -> None:
    """And those that an earlier one does not send have their defaults."""
    header = SENDER.pack(Hello(1, (), ""))[:HEADER_BYTES]
    later = header + msgspec.msgpack.encode((1, ["cook"], "web", True, 7, "what comes next"))
    earlier = header + msgspec.msgpack.encode((1, ["cook"], "web"))

    assert unpack(later).message == Hello(1, ("cook",), "web", asks=True, number=7)
    assert unpack(earlier).message == Hello(1, ("cook",), "web", asks=False)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (b"x" * 100, "version 120"),
        (bytes((VERSION, 99)) + SENDER.identity, "kind 99"),
        (bytes((VERSION + 1, 0)) + SENDER.identity, f"speaks version {VERSION}"),
        (SENDER.pack(Cast(1, "a", b"b"))[:-1], "an invalid message"),
        (SENDER.pack(Bye())[:HEADER_BYTES] + b"\xc1", "an invalid message"),
    ],
)
def test_what_is_no_message_says_why(data: bytes, why: str) -> None:
    """Also the bytes of another version."""
    with pytest.raises(InvalidMessageError, match=why):
        unpack(data)


def parts_of(number: int, data: bytes, size: int) -> list[Part]:
    """The parts of a message."""
    parts = []
    for encoded in split(SENDER, number, data, size):
        assert len(encoded) <= size
        message = unpack(encoded).message
        assert isinstance(message, Part)
        parts.append(message)
    return parts


KEY = (NODE, EPOCH, "chat.all")
OTHER_KEY = (NODE, EPOCH, "chat.1")
DATA = bytes(range(256)) * 20


def test_parts_are_joined() -> None:
    """Those of each subject on their own."""
    joiner = Joiner(100_000)
    parts = parts_of(1, DATA, 1_000)
    others = parts_of(2, DATA[::-1], 1_000)
    assert len(parts) == len(others) > 3

    joined = []
    for part, other in zip(parts, others, strict=True):
        joined += [joiner.add(KEY, part), joiner.add(OTHER_KEY, other)]

    assert joined[-2:] == [DATA, DATA[::-1]]
    assert set(joined[:-2]) == {None}
    assert joiner.dropped == 0


@pytest.mark.parametrize("lost", [0, 1, -1])
def test_a_message_with_a_lost_part_is_dropped(lost: int) -> None:
    """The next one is whole."""
    joiner = Joiner(100_000)
    parts = parts_of(1, DATA, 1_000)
    del parts[lost]

    assert {joiner.add(KEY, part) for part in parts} == {None}
    assert [joiner.add(KEY, part) for part in parts_of(2, DATA, 1_000)][-1] == DATA
    assert joiner.dropped == (0 if lost == 0 else 1)


def test_unfinished_messages_are_bounded() -> None:
    """All of them together; what a node that is down has begun is dropped."""
    joiner = Joiner(3_000)
    for part in parts_of(1, DATA, 1_000):
        assert joiner.add(KEY, part) is None
    assert joiner.dropped == 1

    first, second, *_ = parts_of(2, DATA, 1_000)
    joiner.add(KEY, first)
    joiner.discard(NODE)
    assert joiner.dropped == 2
    assert joiner.add(KEY, second) is None

    small = parts_of(3, DATA[:2_000], 1_000)
    assert [joiner.add(KEY, part) for part in small][-1] == DATA[:2_000]
