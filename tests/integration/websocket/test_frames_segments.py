"""Frames arrive unchanged however TCP splits the bytes: splits, batches, and real clients' frames.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.wire_client import Opcode, build_request, encode_frame
from phoenix_compat.conformance.suite.wire_client import upgrade_headers as headers_of
from tests.conftest import Dial, Open
from tests.wire import OK, V1, V2, PhoenixWire, replied


def heartbeat(ref: object) -> bytes:
    """A V2 heartbeat as a masked text frame."""
    return encode_frame(compact_json([None, ref, "phoenix", "heartbeat", {}]))


async def send_apart(wire: PhoenixWire, *parts: bytes) -> None:
    """Send each part in its own segment, which the server reads before the next is sent."""
    for part in parts:
        await wire.client.send_bytes(part)
        for _turn in range(5):
            await asyncio.sleep(0)


async def test_a_frame_may_be_split_at_every_byte(reference_url: str, open_wire: Open) -> None:
    """A short frame that is split at any byte gets the same reply."""
    wire = await open_wire(reference_url)

    for cut in range(1, len(heartbeat("99"))):
        data = heartbeat(f"{cut:02}")
        await send_apart(wire, data[:cut], data[cut:])
        assert await wire.recv() == [None, f"{cut:02}", "phoenix", "phx_reply", OK]


@pytest.mark.parametrize("padding", [200, 70_000], ids=["16-bit-length", "64-bit-length"])
async def test_a_long_header_may_be_split_at_every_byte(
    reference_url: str, open_wire: Open, padding: int
) -> None:
    """The same for longer headers, split in length and mask."""
    wire = await open_wire(reference_url)
    data = encode_frame('[null,"1","phoenix","heartbeat",{}]'.ljust(padding))

    for cut in range(1, 16):
        await send_apart(wire, data[:cut], data[cut:])
        assert await wire.recv() == [None, "1", "phoenix", "phx_reply", OK]


async def test_frames_may_come_byte_by_byte(reference_url: str, open_wire: Open) -> None:
    """Two frames that arrive byte by byte are two messages."""
    wire = await open_wire(reference_url)
    data = heartbeat("1") + heartbeat("2")

    await send_apart(wire, *(data[at : at + 1] for at in range(len(data))))

    assert [message[1] for message in await wire.recv_many(2)] == ["1", "2"]


async def test_many_frames_may_come_in_one_segment(reference_url: str, open_wire: Open) -> None:
    """Frames of one segment are answered one by one, in order."""
    wire = await open_wire(reference_url)

    await wire.client.send_bytes(b"".join(heartbeat(number) for number in range(100)))

    assert [message[1] for message in await wire.recv_many(100)] == list(range(100))


async def test_a_segment_may_end_within_the_next_frame(reference_url: str, open_wire: Open) -> None:
    """One and a half frames, then one and a half more, are three messages."""
    wire = await open_wire(reference_url)
    data = heartbeat("1") + heartbeat("2") + heartbeat("3")

    await send_apart(wire, data[: len(data) // 2], data[len(data) // 2 :])

    assert [message[1] for message in await wire.recv_many(3)] == ["1", "2", "3"]


async def test_a_large_frame_does_not_delay_those_behind_it(
    reference_url: str, open_wire: Open
) -> None:
    """A message of many segments is followed by the next in the same write."""
    wire = await open_wire(reference_url)
    await wire.join("room:a")
    blob = "x" * 1_000_000
    echo = encode_frame(compact_json(["1", "2", "room:a", "echo", {"blob": blob}]))

    await wire.client.send_bytes(echo + heartbeat("3"))

    answers = {message[1]: message[4] for message in await wire.recv_many(2)}
    assert answers == {"2": replied({"blob": blob}), "3": OK}


async def test_the_handshake_may_come_in_pieces(reference_url: str, dial: Dial) -> None:
    """A request that is split in its head, followed by a frame, is a valid handshake."""
    client = await dial(reference_url)
    request = build_request("GET", V2, headers_of(client.host)) + heartbeat("1")

    for start in range(0, len(request), 16):
        await client.send_bytes(request[start : start + 16])
        await asyncio.sleep(0)

    response = await client.read_response()
    wire = PhoenixWire(client)
    assert response.status == 101
    assert await wire.recv() == [None, "1", "phoenix", "phx_reply", OK]


async def test_swift_phoenix_client_1_x(reference_url: str, open_wire: Open) -> None:
    """V1 objects in BINARY frames, as SwiftPhoenixClient 0.9-2.1.1 sends them."""
    wire = await open_wire(reference_url, "/socket/websocket?token=abc")
    topic = "task:42"

    await send_as_swift(
        wire, {"topic": topic, "event": "phx_join", "payload": {}, "ref": "6", "join_ref": "6"}
    )
    joined, progress = await wire.recv_many(2)
    await send_as_swift(wire, {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "7"})
    beaten = await wire.recv()
    await send_as_swift(
        wire, {"topic": topic, "event": "phx_leave", "payload": {}, "ref": "8", "join_ref": "6"}
    )
    left, closed = await wire.recv_many(2)

    assert joined == {"event": "phx_reply", "payload": OK, "ref": "6", "topic": topic}
    assert (progress["event"], progress["ref"]) == ("progress", None)
    assert progress.keys() == {"event", "payload", "ref", "topic"}
    assert beaten == {"event": "phx_reply", "payload": OK, "ref": "7", "topic": "phoenix"}
    assert left == {"event": "phx_reply", "payload": OK, "ref": "8", "topic": topic}
    assert closed == {"event": "phx_close", "payload": {}, "ref": "6", "topic": topic}


async def test_swift_phoenix_client_0_6(reference_url: str, open_wire: Open) -> None:
    """TEXT frames without join_ref and a heartbeat with a payload."""
    wire = await open_wire(reference_url, V1)

    joined = await wire.ask({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})
    beaten = await wire.ask(
        {"topic": "phoenix", "event": "heartbeat", "payload": {"body": "Pong"}, "ref": "2"}
    )

    assert joined["payload"] == replied({"joined": "room:a"})
    assert beaten == {"event": "phx_reply", "payload": OK, "ref": "2", "topic": "phoenix"}


async def test_swift_phoenix_client_5_x(reference_url: str, open_wire: Open) -> None:
    """V2 arrays as NSJSONSerialization writes them, `/` escaped."""
    wire = await open_wire(reference_url, "/socket/websocket?vsn=2.0.0&token=abc")

    await wire.send_text('["6","6","room:a\\/b","phx_join",{}]')
    joined = await wire.recv()
    await wire.send_text('["6","7","room:a\\/b","echo",{"url":"https:\\/\\/example.com\\/a"}]')
    echoed = await wire.recv_text()
    await wire.send_text('[null,"8","phoenix","heartbeat",{}]')
    beaten = await wire.recv()
    await wire.send_text('["6","9","room:a\\/b","phx_leave",{}]')
    left, closed = await wire.recv_many(2)

    assert joined == ["6", "6", "room:a/b", "phx_reply", replied({"joined": "room:a/b"})]
    assert echoed.startswith('["6","7","room:a/b","phx_reply",{')
    assert json.loads(echoed)[4] == replied({"url": "https://example.com/a"})
    assert beaten == [None, "8", "phoenix", "phx_reply", OK]
    assert left == ["6", "9", "room:a/b", "phx_reply", OK]
    assert closed == ["6", "6", "room:a/b", "phx_close", {}]


async def send_as_swift(wire: PhoenixWire, message: dict[str, object]) -> None:
    """Send a V1 message as Swift does: JSON, in a BINARY frame."""
    await wire.client.send_frame(json.dumps(message), Opcode.BINARY)
