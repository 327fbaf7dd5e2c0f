"""Load: many messages behind a slow join, long queues, slow readers; and nothing left behind.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import Endpoint, HandleResult, Limits, Result, Socket, ok, on
from phoenix_compat.conformance.reference import RoomChannel
from phoenix_compat.conformance.suite.cases import compact_json
from phoenix_compat.conformance.suite.wire_client import Opcode, encode_close, encode_frame
from tests.conftest import Open, Serve
from tests.integration.echo_app import OpenChannel
from tests.patience import patient
from tests.serving import EventLog, accepting, socket_app
from tests.wire import OK, PhoenixWire


def text(message: Any) -> bytes:
    """A masked text frame."""
    return encode_frame(compact_json(message))


def heartbeat(ref: Any) -> bytes:
    """A heartbeat's frame."""
    return text([None, ref, "phoenix", "heartbeat", {}])


class SlowJoin:
    """A channel class whose joins wait for an event, and record when they begin."""

    def __init__(self) -> None:
        release, event_log = asyncio.Event(), EventLog()

        class SlowJoinChannel(OpenChannel):
            async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
                event_log.record(topic)
                await release.wait()
                return ok()

        self.release = release
        self.event_log = event_log
        self.channel = SlowJoinChannel


async def test_a_flood_behind_a_slow_join(serve: Serve, open_wire: Open) -> None:
    """§0.1, §10.32: all later messages, in any segments, are answered in order."""
    slow = SlowJoin()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": slow.channel}))))
    await wire.send(["0", "0", "room:a", "phx_join", {}])
    await slow.event_log.next()

    flood = b"".join(heartbeat(number) for number in range(1, 5001))
    sending = asyncio.create_task(send_in_pieces(wire, flood, 7_001))
    await asyncio.sleep(0)
    slow.release.set()
    await sending

    assert [answer[1] for answer in await wire.recv_many(5001)] == ["0", *range(1, 5001)]


async def test_a_close_behind_a_slow_join(serve: Serve, open_wire: Open) -> None:
    """§0.1: the join is answered first, then the close."""
    slow = SlowJoin()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": slow.channel}))))
    await wire.send(["1", "1", "room:a", "phx_join", {}])
    await slow.event_log.next()

    await wire.client.send_bytes(encode_frame("p", Opcode.PING) + encode_close(1000))
    slow.release.set()

    assert await wire.recv() == ["1", "1", "room:a", "phx_reply", OK]
    assert (await wire.recv_frame()).opcode == Opcode.PONG
    assert await wire.recv_close() == 1000


async def test_joins_behind_slow_joins(serve: Serve, open_wire: Open) -> None:
    """§3.4, §10.32: pipelined joins and duplicate joins run one after another."""
    slow = SlowJoin()
    wire = await open_wire(await serve(socket_app(accepting({"room:*": slow.channel}))))
    joins = [("1", "room:a"), ("2", "room:b"), ("3", "room:a"), ("4", "room:a")]

    await wire.client.send_bytes(
        b"".join(text([ref, ref, topic, "phx_join", {}]) for ref, topic in joins)
    )
    await slow.event_log.next()
    slow.release.set()
    frames = await wire.recv_many(6)

    assert [(frame[0], frame[3]) for frame in frames] == [
        ("1", "phx_reply"),
        ("2", "phx_reply"),
        ("3", "phx_reply"),
        ("1", "phx_close"),
        ("4", "phx_reply"),
        ("3", "phx_close"),
    ]


async def test_a_long_answer_arrives_whole(serve: Serve, open_wire: Open) -> None:
    """Ten thousand pushes of one handler arrive in order, and the reply last."""

    class TalkativeChannel(OpenChannel):
        @on("talk")
        async def talk(self, payload: Any, socket: Socket) -> HandleResult:
            for number in range(payload):
                await socket.push("n", {"n": number})
            return ok()

    limits = Limits(max_outbox_bytes=100_000_000)
    app = socket_app(accepting({"room:*": TalkativeChannel}), endpoint=Endpoint(limits=limits))
    wire = await open_wire(await serve(app))
    await wire.join("room:a")

    await wire.send(["1", "2", "room:a", "talk", 10_000])

    frames = await wire.recv_many(10_001)
    assert [frame[4]["n"] for frame in frames[:-1]] == list(range(10_000))
    assert frames[-1] == ["1", "2", "room:a", "phx_reply", OK]


async def test_a_client_that_does_not_read_harms_nobody(serve: Serve, open_wire: Open) -> None:
    """It is closed at the limit and counted; the others get every broadcast, in order."""
    endpoint = Endpoint(limits=Limits(max_outbox_bytes=1_000_000, close_timeout_s=0.1))
    base_url = await serve(socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint))
    deaf, good = await open_wire(base_url), await open_wire(base_url)
    await deaf.join("room:a")
    await good.join("room:a")
    blob = "x" * 1_000_000

    for number in range(40):
        await endpoint.broadcast("room:a", "msg", {"n": number, "blob": blob})
        assert (await good.recv())[4]["n"] == number

    assert endpoint.counters.slow_clients_closed == 1
    await good.fence()


@pytest.mark.parametrize("end", ["phx_leave", "crash", "stop", "rejoin", "drop"])
async def test_nothing_is_left_behind(serve: Serve, open_wire: Open, end: str) -> None:
    """After two hundred cycles of channels no topic and no connection is left."""
    endpoint = Endpoint()
    base_url = await serve(socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint))
    wire = await open_wire(base_url)

    for number in range(200):
        await wire.join(f"room:{number}", str(number))
        if end == "drop":
            await wire.close()
            wire = await open_wire(base_url)
            continue
        if end == "rejoin":
            await wire.send(["new", "new", f"room:{number}", "phx_join", {}])
            await wire.recv_many(2)
        event = "phx_leave" if end == "rejoin" else end
        await wire.send([None, "end", f"room:{number}", event, {}])
        await wire.recv_many(1 if event in {"crash", "stop"} else 2)
    await wire.client.send_bytes(encode_close(1000))
    await wire.recv_close()

    await wire.close()
    async with asyncio.timeout(patient(5.0)):
        while endpoint.connections or len(endpoint.pubsub) or len(endpoint.spawner):  # noqa: ASYNC110 - the end sets no event
            await asyncio.sleep(0)
    assert (endpoint.connections, len(endpoint.pubsub), len(endpoint.spawner)) == (0, 0, 0)


async def send_in_pieces(wire: PhoenixWire, data: bytes, size_bytes: int) -> None:
    """Send in segments that cut frames anywhere."""
    for start in range(0, len(data), size_bytes):
        await wire.client.send_bytes(data[start : start + size_bytes])
        await asyncio.sleep(0)
