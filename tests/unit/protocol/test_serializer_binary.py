"""The binary format of V2. Numbers are those of docs/protocol.md §9.8."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from phoenix_compat.errors import EncodeError, InvalidMessageError, RemoteProtocolError
from phoenix_compat.protocol.message import BinaryFrame, Broadcast, Frame, Message
from phoenix_compat.protocol.serializer import V2
from tests.unit.protocol.strategies import binary_pushes, client_push, read_binary, steady


def hexed(text: str) -> bytes:
    """Bytes from the hex of the specification."""
    return bytes.fromhex(text)


def binary(frame: Frame) -> bytes:
    """The bytes of a binary frame."""
    assert isinstance(frame, BinaryFrame)
    return frame


PUSH_IN = hexed("00 01 02 06 04  31  31 30  72 6f 6f 6d 3a 61  65 63 68 6f  ff 00")


@pytest.mark.parametrize("buffer", [bytes, bytearray], ids=["bytes", "bytearray"])
def test_the_bytes_of_a_client_push(buffer: Callable[[bytes], bytes | bytearray]) -> None:
    """125: a client's push has four sizes; the payload is bytes."""
    message = V2.decode(buffer(PUSH_IN), is_binary=True)

    assert Message("1", "10", "room:a", "echo", b"\xff\x00") == message
    assert type(message.payload) is bytes


def test_the_bytes_of_a_push() -> None:
    """119: a server's push has three sizes and no ref."""
    frame = V2.encode(Message("1", None, "room:a", "pb", b"\x04\x05"))

    expected = hexed("00 01 06 02  31  72 6f 6f 6d 3a 61  70 62  04 05")
    assert expected == binary(frame)


def test_the_bytes_of_a_reply() -> None:
    """121: a reply has four sizes, and its status instead of an event."""
    frame = V2.encode_reply("1", "9", "room:a", "ok", b"\x06")

    expected = hexed("01 01 01 06 02  31  39  72 6f 6f 6d 3a 61  6f 6b  06")
    assert expected == binary(frame)


def test_the_bytes_of_a_broadcast() -> None:
    """123: a broadcast has two sizes, and no refs at all."""
    frame = V2.fastlane(Broadcast("room:a", "b", b"\x01\x02\x03"))

    expected = hexed("02 06 01  72 6f 6f 6d 3a 61  62  01 02 03")
    assert expected == binary(frame)


def test_null_refs_are_empty_strings() -> None:
    """A null join_ref or ref is written with size 0."""
    push = V2.encode(Message(None, None, "t", "e", b""))
    reply = V2.encode_reply(None, None, "t", "ok", b"")

    assert binary(push) == b"\x00\x00\x01\x01te"
    assert binary(reply) == b"\x01\x00\x00\x01\x02tok"


def test_empty_strings_are_not_null() -> None:
    """Size 0 is read as the empty string, which is stale on a joined channel."""
    message = V2.decode(b"\x00\x00\x00\x01\x01te", is_binary=True)

    assert Message("", "", "t", "e", b"") == message


LONGEST = "é" * 127 + "x"  # 255 bytes


@pytest.mark.parametrize(
    ("encode", "field"),
    [
        (lambda text: V2.encode(Message(text, None, "t", "e", b"")), "join_ref"),
        (lambda text: V2.encode(Message("1", None, text, "e", b"")), "topic"),
        (lambda text: V2.encode(Message("1", None, "t", text, b"")), "event"),
        (lambda text: V2.encode_reply(text, "1", "t", "ok", b""), "join_ref"),
        (lambda text: V2.encode_reply("1", text, "t", "ok", b""), "ref"),
        (lambda text: V2.encode_reply("1", "1", text, "ok", b""), "topic"),
        (lambda text: V2.encode_reply("1", "1", "t", text, b""), "status"),
        (lambda text: V2.fastlane(Broadcast(text, "e", b"")), "topic"),
        (lambda text: V2.fastlane(Broadcast("t", text, b"")), "event"),
    ],
)
def test_strings_have_at_most_255_bytes(encode: Callable[[object], Frame], field: str) -> None:
    """120, 122, 124: a string of 256 bytes is refused, and the error names it; 255 are sent."""
    assert LONGEST.encode() in encode(LONGEST)

    with pytest.raises(EncodeError, match=f"unable to convert {field} to binary: 256 bytes"):
        encode(LONGEST + "x")


@pytest.mark.parametrize(
    ("ref", "text"),
    [
        (1, b"1"),
        (-7, b"-7"),
        (1.0, b"1.0"),
        (100.0, b"100.0"),
        (1000.0, b"1.0e3"),
        (0.0001, b"0.0001"),
        (0.00001, b"1.0e-5"),
        (1.5e300, b"1.5e300"),
        (9007199254740994.0, b"9.007199254740994e15"),
        (-0.0, b"-0.0"),
        (True, b"true"),
        (False, b"false"),
        ([97, ["b", 228]], "abä".encode()),
        ([], b""),
    ],
)
def test_refs_that_are_not_strings_are_written_as_text(ref: object, text: bytes) -> None:
    """B1: refs go through Elixir's to_string/1."""
    push = V2.encode(Message(ref, None, "t", "e", b""))
    reply = V2.encode_reply("j", ref, "t", "ok", b"")

    assert binary(push) == bytes((0, len(text), 1, 1)) + text + b"te"
    assert binary(reply) == bytes((1, 1, len(text), 1, 2)) + b"j" + text + b"tok"


@pytest.mark.parametrize(
    "ref", [{}, [{}], [None], [True], [1.0], [0xD800], [0x110000], [-1], 10**1000, "x" * 256]
)
def test_other_refs_cannot_be_written(ref: object) -> None:
    """What to_string/1 refuses, and what is too long, is an error."""
    with pytest.raises(EncodeError, match="unable to convert"):
        V2.encode_reply("1", ref, "t", "ok", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x00\x01\x01\x01",
        b"\x01\x00\x00\x01\x01te",
        b"\x02\x00\x00\x01\x01te",
        b'["1","2","t","e",{}]',
        PUSH_IN[:17],
        b"\x00\xff\xff\xff\xff" + b"x" * 1019,
    ],
    ids=["empty", "short", "no sizes", "reply", "broadcast", "text", "truncated", "too short"],
)
def test_another_layout_is_refused(data: bytes) -> None:
    """A binary frame that is not a client's push closes the connection with 1011."""
    with pytest.raises(InvalidMessageError) as refused:
        V2.decode(data, is_binary=True)

    assert refused.value.close_code == 1011


def test_a_push_without_payload_is_whole() -> None:
    """The payload may be empty; strings may have 255 bytes."""
    whole = b"\x00\xff\xff\xff\xff" + b"x" * 1020

    assert V2.decode(whole, is_binary=True).payload == b""


def test_strings_that_are_not_utf8_are_kept() -> None:
    """Invalid UTF-8 in a binary header can be read and written in binary, but not as JSON."""
    message = V2.decode(b"\x00\x00\x00\x02\x01\xff\xfee", is_binary=True)

    assert V2.fastlane(Broadcast(message.topic, "e", b"")) == b"\x02\x02\x01\xff\xfee"
    with pytest.raises(EncodeError):
        V2.encode_reply("1", "1", message.topic, "ok", {})


@given(binary_pushes)
@steady
def test_a_push_of_any_client_is_read(message: Message) -> None:
    """Reading reverses what a client writes."""
    assert message == V2.decode(client_push(message), is_binary=True)


@given(binary_pushes)
@steady
def test_a_push_cut_short_is_refused_or_loses_payload_only(message: Message) -> None:
    """A truncated frame has complete strings, or it is refused."""
    data = client_push(message)
    strings = len(data) - len(message.payload)

    for cut in range(len(data)):
        try:
            read = V2.decode(data[:cut], is_binary=True)
        except RemoteProtocolError:
            assert cut < strings
        else:
            assert cut >= strings
            assert read.payload == message.payload[: cut - strings]


@given(binary_pushes)
@steady
def test_what_is_written_is_read_back(message: Message) -> None:
    """Pushes, replies and broadcasts carry their strings and the payload unchanged."""
    join_ref, ref, topic, event = message.join_ref, message.ref, message.topic, message.event
    payload = message.payload

    push = V2.encode(message)
    reply = V2.encode_reply(join_ref, ref, topic, event, payload)
    broadcast = V2.fastlane(Broadcast(topic, event, payload))

    assert (0, [join_ref, topic, event], payload) == read_binary(binary(push), 3)
    assert (1, [join_ref, ref, topic, event], payload) == read_binary(binary(reply), 4)
    assert (2, [topic, event], payload) == read_binary(binary(broadcast), 2)
