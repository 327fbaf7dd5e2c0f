"""Websocket frames on the raw wire: docs/protocol.md §1.9, row by row, with Bandit's behaviour."""

from __future__ import annotations

import pytest

from phoenix_compat import WebSocketOptions
from phoenix_compat.conformance.reference import UserSocket
from phoenix_compat.conformance.suite.wire_client import (
    Opcode,
    encode_close,
    encode_frame,
    encode_header,
)
from tests.conftest import Open, Serve
from tests.serving import socket_app
from tests.wire import OK, PhoenixWire

HEARTBEAT = '[null,"1","phoenix","heartbeat",{}]'
HEARTBEAT_REPLY = [None, "1", "phoenix", "phx_reply", OK]
MASK = b"\x01\x02\x03\x04"


@pytest.fixture
async def wire(reference_url: str, open_wire: Open) -> PhoenixWire:
    """A V2 websocket to the reference channel set."""
    return await open_wire(reference_url)


@pytest.mark.parametrize("payload", [b"", b"hello", b"\x00\xff", b"x" * 125])
async def test_a_ping_is_answered_with_its_payload(wire: PhoenixWire, payload: bytes) -> None:
    """A ping of up to 125 bytes gets one pong with the same payload, and nothing else."""
    await wire.client.send_frame(payload, Opcode.PING)

    frame = await wire.recv_frame()

    assert (frame.opcode, frame.payload, frame.is_final) == (Opcode.PONG, payload, True)
    await wire.fence()


async def test_an_unsolicited_pong_is_dropped(wire: PhoenixWire) -> None:
    """A pong without a ping has no effect."""
    await wire.client.send_frame(b"nobody asked", Opcode.PONG)

    await wire.fence()


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b'[null,"\xe9","phoenix","heartbeat",{}]'],
    ids=["no-start-byte", "truncated", "surrogate", "overlong", "latin-1"],
)
async def test_text_that_is_not_utf_8_is_1007(wire: PhoenixWire, text: bytes) -> None:
    """A text message whose bytes are not UTF-8 closes the connection with 1007."""
    await wire.client.send_frame(text)

    assert await wire.recv_close() == 1007


async def test_fragments_are_checked_as_one_text(reference_url: str, open_wire: Open) -> None:
    """A character may be split between fragments; the whole message must be UTF-8."""
    message = '[null,"é","phoenix","heartbeat",{}]'.encode()
    cut = message.index(b"\xc3") + 1
    good, bad = await open_wire(reference_url), await open_wire(reference_url)

    for wire, end in ((good, message[cut:]), (bad, b"x" + message[cut:])):
        await wire.client.send_bytes(encode_frame(message[:cut], is_final=False))
        await wire.client.send_bytes(encode_frame(end, Opcode.CONTINUATION))

    assert await good.recv() == [None, "é", "phoenix", "phx_reply", OK]
    assert await bad.recv_close() == 1007


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode_frame(HEARTBEAT, mask=None), id="unmasked"),
        pytest.param(encode_frame(b"", Opcode.PING, mask=None), id="unmasked-ping"),
        pytest.param(encode_frame(HEARTBEAT, rsv=4), id="rsv1-as-if-compressed"),
        pytest.param(encode_frame(HEARTBEAT, rsv=2), id="rsv2"),
        pytest.param(encode_frame(HEARTBEAT, rsv=1), id="rsv3"),
        pytest.param(encode_frame(b"", Opcode.PING, rsv=4), id="rsv-on-a-ping"),
        *(
            pytest.param(encode_frame(HEARTBEAT, opcode), id=f"opcode-{opcode:x}")
            for opcode in (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF)
        ),
        pytest.param(encode_frame(HEARTBEAT, Opcode.CONTINUATION), id="stray-continuation"),
        pytest.param(
            encode_frame("a", Opcode.CONTINUATION, is_final=False), id="stray-continuation-open"
        ),
        pytest.param(
            encode_frame("[", is_final=False) + encode_frame(HEARTBEAT), id="text-inside-a-message"
        ),
        pytest.param(encode_frame(b"", Opcode.PING, is_final=False), id="fragmented-ping"),
        pytest.param(encode_frame(b"", Opcode.PONG, is_final=False), id="fragmented-pong"),
        pytest.param(
            encode_frame(b"\x03\xe8", Opcode.CLOSE, is_final=False), id="fragmented-close"
        ),
        pytest.param(encode_frame(b"x" * 126, Opcode.PING), id="long-ping"),
        pytest.param(encode_frame(b"x" * 126, Opcode.PONG), id="long-pong"),
        pytest.param(encode_close(1000, b"x" * 124), id="long-close"),
    ],
)
async def test_a_broken_frame_is_1002(wire: PhoenixWire, data: bytes) -> None:
    """Frames that RFC 6455 forbids close the connection with 1002."""
    await wire.client.send_bytes(data)

    assert await wire.recv_close() == 1002


async def test_nothing_is_handled_after_a_broken_frame(wire: PhoenixWire) -> None:
    """Frames after a broken one, in the same segment, are not handled."""
    await wire.client.send_bytes(encode_frame(HEARTBEAT, 0x3) + encode_frame(HEARTBEAT))

    assert await wire.recv_close() == 1002


@pytest.mark.parametrize(
    ("payload_bytes", "header_bytes"), [(125, 6), (126, 8), (65535, 8), (65536, 14)]
)
async def test_a_frame_may_be_as_large_as_allowed(
    serve: Serve, open_wire: Open, payload_bytes: int, header_bytes: int
) -> None:
    """The limit is for header and payload together; one byte more is 1009."""
    message = HEARTBEAT.ljust(payload_bytes)
    limits = (payload_bytes + header_bytes, payload_bytes + header_bytes - 1)
    wires = []
    for limit in limits:
        app = socket_app(UserSocket, WebSocketOptions(max_frame_bytes=limit))
        wires.append(await open_wire(await serve(app)))

    for wire in wires:
        await wire.send_text(message)

    assert await wires[0].recv() == HEARTBEAT_REPLY
    assert await wires[1].recv_close() == 1009


async def test_the_limit_is_ten_million_bytes(wire: PhoenixWire) -> None:
    """§1.2, §10.15: by default a frame of 10,000,000 bytes with its header is too large by one."""
    await wire.client.send_bytes(encode_header(10_000_001 - 14, Opcode.TEXT) + MASK)

    assert await wire.recv_close() == 1009


async def test_a_frame_of_nearly_ten_million_bytes_is_handled(wire: PhoenixWire) -> None:
    """§1.2, §10.15: the largest frame is one message like any other."""
    await wire.send_text(HEARTBEAT.ljust(10_000_000 - 14))

    assert await wire.recv() == HEARTBEAT_REPLY


@pytest.mark.parametrize("pieces", [2, 3, len(HEARTBEAT)])
async def test_fragments_make_one_message(wire: PhoenixWire, pieces: int) -> None:
    """A fragmented message is handled like any other."""
    size = -(-len(HEARTBEAT) // pieces)
    parts = [HEARTBEAT[start : start + size] for start in range(0, len(HEARTBEAT), size)]

    for number, part in enumerate(parts):
        opcode = Opcode.CONTINUATION if number else Opcode.TEXT
        is_final = number == len(parts) - 1
        await wire.client.send_bytes(encode_frame(part, opcode, is_final=is_final))

    assert await wire.recv() == HEARTBEAT_REPLY


async def test_fragments_may_be_empty(wire: PhoenixWire) -> None:
    """Empty first, middle and last fragments add nothing."""
    parts = [(Opcode.TEXT, ""), (Opcode.CONTINUATION, HEARTBEAT), (Opcode.CONTINUATION, "")]

    for opcode, part in parts:
        await wire.client.send_bytes(encode_frame(part, opcode, is_final=False))
    await wire.client.send_bytes(encode_frame("", Opcode.CONTINUATION))

    assert await wire.recv() == HEARTBEAT_REPLY


async def test_a_ping_between_fragments_is_answered_at_once(wire: PhoenixWire) -> None:
    """Control frames may come between fragments and get their reply at once."""
    await wire.client.send_bytes(encode_frame(HEARTBEAT[:9], is_final=False))
    await wire.client.send_frame(b"between", Opcode.PING)
    pong = await wire.recv_frame()
    await wire.client.send_bytes(encode_frame(HEARTBEAT[9:], Opcode.CONTINUATION))

    assert (pong.opcode, pong.payload) == (Opcode.PONG, b"between")
    assert await wire.recv() == HEARTBEAT_REPLY


async def test_a_close_between_fragments_ends_the_connection(wire: PhoenixWire) -> None:
    """A close frame works in the middle of a message."""
    await wire.client.send_bytes(encode_frame("[", is_final=False) + encode_close(1000))

    assert await wire.recv_close() == 1000


async def test_a_binary_message_may_be_fragmented(wire: PhoenixWire) -> None:
    """A V2 binary push in two fragments is one push."""
    await wire.join("room:a")
    push = b"\x00\x01\x01\x06\x03" + b"12room:abin" + b"\x00\xff"

    await wire.client.send_bytes(encode_frame(push[:7], Opcode.BINARY, is_final=False))
    await wire.client.send_bytes(encode_frame(push[7:], Opcode.CONTINUATION))

    assert await wire.recv_binary() == b"\x01\x01\x01\x06\x02" + b"12room:aok" + b"\x00\xff"


async def test_a_fragmented_message_has_a_limit_of_its_own(wire: PhoenixWire) -> None:
    """§1.2, §10.15: fragments of more than 8,000,000 bytes together are 1009."""
    million = b" " * 1_000_000

    await wire.client.send_bytes(encode_frame(million, is_final=False))
    for _part in range(7):
        await wire.client.send_bytes(encode_frame(million, Opcode.CONTINUATION, is_final=False))
    await wire.client.send_bytes(encode_frame(b" ", Opcode.CONTINUATION, is_final=False))

    assert await wire.recv_close() == 1009


@pytest.mark.parametrize(
    "code",
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3410, 4000, 4999, 5000, 65535],
)
async def test_a_clients_close_is_answered_1000(wire: PhoenixWire, code: int) -> None:
    """1000-1003, 1007-1011 and codes above 2999 get 1000, and TCP ends."""
    await wire.client.send_bytes(encode_close(code, b"the reason, not echoed"))

    assert await wire.recv_close() == 1000


async def test_an_empty_close_is_answered_1000(wire: PhoenixWire) -> None:
    """A close frame without a code gets 1000."""
    await wire.client.send_bytes(encode_close())

    assert await wire.recv_close() == 1000


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1012, 1013, 1014, 1015, 1016, 2999])
async def test_a_close_code_no_client_may_send_is_1002(wire: PhoenixWire, code: int) -> None:
    """Reserved and unassigned codes below 3000 get 1002."""
    await wire.client.send_bytes(encode_close(code))

    assert await wire.recv_close() == 1002


async def test_a_close_payload_of_one_byte_is_1002(wire: PhoenixWire) -> None:
    """Half a close code is a protocol error."""
    await wire.client.send_frame(b"\x03", Opcode.CLOSE)

    assert await wire.recv_close() == 1002


async def test_a_close_reason_that_is_not_utf_8_is_1002(wire: PhoenixWire) -> None:
    """B13: the reason of a close frame is text."""
    await wire.client.send_bytes(encode_close(1000, b"\xff"))

    assert await wire.recv_close() == 1002


async def test_nothing_is_handled_after_a_close(wire: PhoenixWire) -> None:
    """Frames after a close frame, in the same segment, are not handled."""
    await wire.client.send_bytes(encode_close(1000) + encode_frame(HEARTBEAT))

    assert await wire.recv_close() == 1000


async def test_a_client_that_vanishes_harms_nobody(reference_url: str, open_wire: Open) -> None:
    """A TCP connection that ends in the middle of a frame affects no other."""
    gone, here = await open_wire(reference_url), await open_wire(reference_url)
    await gone.join("room:a")
    await here.join("room:a")

    await gone.client.send_bytes(encode_frame(HEARTBEAT)[:5])
    await gone.close()

    assert (await here.ask(["1", "2", "room:a", "echo", {}]))[4] == OK
