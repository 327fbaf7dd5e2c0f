"""Websocket frames: RFC 6455 §5, and docs/protocol.md §1.9 for Bandit's handling of odd ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.errors import RemoteProtocolError
from phoenix_compat.protocol import frame as codes
from phoenix_compat.protocol.frame import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Assembler,
    RawFrame,
    apply_mask,
    close_answer,
    close_frame,
    read_frame,
    write_frame,
)
from tests.unit.protocol.strategies import steady

PLENTY = 10_000_000
NO_MASK = b"\0\0\0\0"


def unmask(mask: bytes, data: bytearray) -> None:
    """XOR in place, byte by byte."""
    for place in range(len(data)):
        data[place] ^= mask[place % 4]


def client_frame(
    opcode: int,
    payload: bytes,
    *,
    is_final: bool = True,
    mask: bytes = NO_MASK,
    size_bytes: int | None = None,
) -> bytes:
    """A masked frame by RFC 6455 §5.2; `size` selects the size of the length field."""
    length = len(payload)
    if size_bytes is None:
        size_bytes = 0 if length < 126 else 2 if length < 65536 else 8
    marker = {0: length, 2: 126, 8: 127}[size_bytes]
    masked = bytearray(payload)
    unmask(mask, masked)
    first = opcode | (0x80 if is_final else 0)
    return (
        bytes((first, 0x80 | marker))
        + length.to_bytes(size_bytes or 1)[:size_bytes]
        + mask
        + masked
    )


def read(data: bytes, max_frame_bytes: int = PLENTY) -> RawFrame | None:
    """The first frame of these bytes."""
    return read_frame(bytearray(data), 0, len(data), max_frame_bytes, unmask)


def code_of(data: bytes, max_frame_bytes: int = PLENTY) -> int:
    """The close code for these bytes."""
    with pytest.raises(RemoteProtocolError) as refused:
        read(data, max_frame_bytes)
    return refused.value.close_code


opcodes = st.sampled_from([CONTINUATION, TEXT, BINARY])
masks = st.binary(min_size=4, max_size=4)


@given(opcodes, st.binary(max_size=200), st.booleans(), masks, st.sampled_from([None, 2, 8]))
@steady
def test_a_frame_is_read_when_it_is_whole(
    opcode: int, payload: bytes, is_final: bool, mask: bytes, size_bytes: int | None
) -> None:
    """Cut at any point a data frame is incomplete; the complete one is what the client sent."""
    data = client_frame(opcode, payload, is_final=is_final, mask=mask, size_bytes=size_bytes)
    buffer = bytearray(b"before" + data + b"after")
    ends = range(6, 6 + len(data))

    early = [read_frame(buffer, 6, end, PLENTY, unmask) for end in ends]
    frame = read_frame(buffer, 6, 6 + len(data), PLENTY, unmask)

    assert early == [None] * len(data)
    assert RawFrame(opcode, is_final, bytearray(payload), 6 + len(data)) == frame


@given(st.sampled_from([CLOSE, PING, PONG]), st.binary(max_size=125), masks)
@steady
def test_a_control_frame_is_read_when_it_is_whole(opcode: int, payload: bytes, mask: bytes) -> None:
    """The same for control frames."""
    data = client_frame(opcode, payload, mask=mask)

    assert [read(data[:cut]) for cut in range(len(data))] == [None] * len(data)
    assert RawFrame(opcode, True, bytearray(payload), len(data)) == read(data + b"\x81")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_the_lengths_at_which_headers_change(length: int) -> None:
    """A frame with any size of header is read when it is complete, and not earlier."""
    data = client_frame(BINARY, b"x" * length)

    assert read(data[:-1]) is None
    assert read(data[:4]) is None
    assert read(data) == RawFrame(BINARY, True, bytearray(b"x" * length), len(data))


def test_reading_leaves_the_buffer_alone() -> None:
    """The payload is a copy, so the buffer may be read again or overwritten."""
    buffer = bytearray(client_frame(TEXT, b"hello", mask=b"mask"))
    before = bytes(buffer)

    frame = read_frame(buffer, 0, len(buffer), PLENTY, unmask)
    buffer[:] = bytes(len(buffer))

    assert before == client_frame(TEXT, b"hello", mask=b"mask")
    assert frame is not None
    assert frame.payload == b"hello"


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x05hello",
        b"\x81\x00",
        b"\xc1\x80" + NO_MASK,
        b"\xa1\x80" + NO_MASK,
        b"\x91\x80" + NO_MASK,
        client_frame(0x3, b""),
        client_frame(0x7, b"x"),
        client_frame(0xB, b""),
        client_frame(0xF, b""),
        client_frame(PING, b"", is_final=False),
        client_frame(CLOSE, b"", is_final=False),
        client_frame(PING, b"x" * 126),
        client_frame(PONG, b"", size_bytes=8),
    ],
    ids=[
        "not masked",
        "empty and not masked",
        "RSV1",
        "RSV2",
        "RSV3",
        "opcode 3",
        "opcode 7",
        "opcode 11",
        "opcode 15",
        "fragmented ping",
        "fragmented close",
        "long ping",
        "pong with a long length",
    ],
)
def test_what_rfc_6455_forbids(data: bytes) -> None:
    """A forbidden frame is refused with 1002 after its first two bytes."""
    assert code_of(data) == 1002
    assert code_of(data[:2]) == 1002
    assert read(data[:1]) is None


@pytest.mark.parametrize("length", [10, 200, 70_000])
def test_the_largest_frame(length: int) -> None:
    """A frame may have `max_frame_bytes` with its header; one byte more is refused with 1009."""
    data = client_frame(BINARY, b"x" * length)

    assert read(data, len(data)) is not None
    assert code_of(data, len(data) - 1) == 1009


def test_a_large_frame_is_refused_before_it_is_there() -> None:
    """The header alone is enough to refuse a frame."""
    header = client_frame(BINARY, b"x" * 70_000)[:10]

    assert code_of(header, 70_000) == 1009
    assert code_of(b"\x82\xff" + b"\xff" * 8) == 1009


@given(st.binary(max_size=40))
@steady
def test_random_bytes_are_a_frame_or_refused(data: bytes) -> None:
    """Any bytes are a frame, incomplete, or a RemoteProtocolError with 1002 or 1009."""
    try:
        frame = read(data, 30)
    except RemoteProtocolError as error:
        outcome: object = error.close_code
    else:
        outcome = frame is None or 6 <= frame.end <= min(len(data), 30)

    assert outcome in {True, 1002, 1009}


# Fragments.


def fragment(opcode: int, payload: bytes, is_final: bool) -> RawFrame:
    """A frame as `read_frame` returns it."""
    return RawFrame(opcode, is_final, bytearray(payload), 0)


@given(st.sampled_from([TEXT, BINARY]), st.lists(st.binary(max_size=9), min_size=1, max_size=6))
@steady
def test_fragments_become_one_message(opcode: int, pieces: list[bytes]) -> None:
    """However a message is cut, its last fragment completes it."""
    assembler = Assembler(100)
    last = len(pieces) - 1

    came = [
        assembler.add(fragment(CONTINUATION if place else opcode, piece, place == last))
        for place, piece in enumerate(pieces)
    ]

    assert came == [None] * last + [(opcode, bytearray(b"".join(pieces)))]
    assert assembler.is_idle


def test_an_assembler_serves_one_message_after_another() -> None:
    """A new message starts empty."""
    assembler = Assembler(10)

    first = [assembler.add(fragment(TEXT, b"a", False)), assembler.add(fragment(0, b"b", True))]
    second = [assembler.add(fragment(BINARY, b"c", False)), assembler.add(fragment(0, b"d", True))]

    assert first == [None, (TEXT, bytearray(b"ab"))]
    assert second == [None, (BINARY, bytearray(b"cd"))]


def refused_with(assembler: Assembler, frame: RawFrame, reason: str | None = None) -> int:
    """The close code with which the assembler refuses a frame, for a reason."""
    with pytest.raises(RemoteProtocolError, match=reason) as refused:
        assembler.add(frame)
    return refused.value.close_code


def test_a_stray_continuation() -> None:
    """A continuation without a message is refused with 1002."""
    continuation = fragment(CONTINUATION, b"", True)

    assert refused_with(Assembler(10), continuation, "continues no message") == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_inside_another(opcode: int) -> None:
    """A new message before the end of the last one is refused with 1002."""
    assembler = Assembler(10)
    assembler.add(fragment(TEXT, b"a", False))

    assert not assembler.is_idle
    assert refused_with(assembler, fragment(opcode, b"", True), "interrupts a message") == 1002


def test_a_message_of_too_many_bytes() -> None:
    """The limit is for all fragments together; one byte more is refused with 1009."""
    assembler = Assembler(3)
    assembler.add(fragment(TEXT, b"ab", False))
    assembler.add(fragment(CONTINUATION, b"c", False))

    assert refused_with(assembler, fragment(CONTINUATION, b"d", True)) == 1009


# Closing.


def test_the_answer_to_every_close_code() -> None:
    """1000-1003, 1007-1011 and codes above 2999 get 1000, all others 1002."""
    fine = {*range(1000, 1004), *range(1007, 1012), *range(3000, 65536)}

    answers = [close_answer(bytearray(code.to_bytes(2))) for code in range(65536)]

    assert {code for code, answer in enumerate(answers) if answer == 1000} == fine
    assert set(answers) == {1000, 1002}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", 1000),
        (b"\x03", 1002),
        (b"\x03\xe8bye", 1000),
        (b"\x03\xe8\xff", 1002),
        (b"\x03\xee\xff", 1002),
        (b"\x03\xe8\xed\xa0\x80", 1002),
        (b"\x03\xed", 1002),
    ],
    ids=[
        "empty",
        "half a code",
        "with a reason",
        "bad reason",
        "bad reason and code",
        "surrogate",
        "1005",
    ],
)
def test_the_answer_to_a_close_frame(payload: bytes, expected: int) -> None:
    """B13: an empty close is normal; half a code or a reason that is not UTF-8 is 1002."""
    assert expected == close_answer(bytearray(payload))


def test_the_bytes_of_a_close_frame() -> None:
    """A close frame has a code and no reason."""
    assert close_frame(1012) == b"\x88\x02\x03\xf4"


# Writing.


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_the_bytes_of_a_short_frame(opcode: int) -> None:
    """A frame is written complete and unmasked."""
    assert write_frame(opcode, b"hello") == bytes((0x80 | opcode, 5)) + b"hello"


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_the_headers_of_every_length(length: int, header: bytes) -> None:
    """The length is written in the fewest bytes."""
    payload = bytearray(length)

    assert write_frame(BINARY, payload) == header + payload


def test_the_close_codes() -> None:
    """They are those of RFC 6455 §7.4.1 and of the registry that it opened."""
    assert {name: code for name, code in vars(codes).items() if name.startswith("CLOSE_")} == {
        "CLOSE_NORMAL": 1000,
        "CLOSE_GOING_AWAY": 1001,
        "CLOSE_PROTOCOL_ERROR": 1002,
        "CLOSE_INVALID_PAYLOAD": 1007,
        "CLOSE_TOO_LARGE": 1009,
        "CLOSE_INTERNAL_ERROR": 1011,
        "CLOSE_SERVICE_RESTART": 1012,
        "CLOSE_TRY_AGAIN_LATER": 1013,
    }


@steady
@given(st.binary(min_size=4, max_size=4), st.binary(max_size=300))
def test_a_mask_is_applied_byte_by_byte(mask: bytes, data: bytes) -> None:
    """By the function that stands in for aiohttp's C routine; twice gives what was there."""
    expected, found = bytearray(data), bytearray(data)
    unmask(mask, expected)
    apply_mask(mask, found)

    assert found == expected
    apply_mask(mask, found)
    assert found == data
