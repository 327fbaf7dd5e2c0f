"""What is counted about clients and their messages: each thing once, and each time."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from phoenix_compat import Counters, HandleResult, Limits, Socket, ok, on
from phoenix_compat.protocol.serializer import V2
from phoenix_compat.result import Result, error
from phoenix_compat.runtime.sending.wire import ByteWire
from tests.patience import patient
from tests.unit.runtime.harness import Client, Engine, OpenChannel, call_in_loop, settle


class CountedChannel(OpenChannel):
    """Does what the payload of a join, or the event, says."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:  # type: ignore[override] # async instead of plain
        """Accept, refuse, crash or wait."""
        if payload == "crash":
            raise RuntimeError
        if payload == "wait":
            await asyncio.Event().wait()
        return error() if payload == "refuse" else ok()

    @on("push")
    def push(self, payload: Any, socket: Socket) -> HandleResult:
        """Push, and answer."""
        socket.push("pushed", payload)
        return ok()

    @on("say")
    def say(self, payload: Any, socket: Socket) -> None:
        """Broadcast to all others."""
        socket.broadcast_from("said", payload)

    @on("crash")
    def crash(self, payload: Any, socket: Socket) -> None:
        """Crash."""
        raise RuntimeError


CHANNELS = {"room:*": CountedChannel}


async def join(client: Client, topic: str, payload: Any = None) -> None:
    """Join a topic, and wait for the answer."""
    await client.send("1", "1", topic, "phx_join", payload)
    async with asyncio.timeout(patient(5)):
        while client.server.is_blocked:
            await settle()


def counted(engine: Engine) -> dict[str, int]:
    """The counters that are not 0."""
    return {name: value for name, value in asdict(engine.counters).items() if value}


def test_nothing_has_happened_yet() -> None:
    """All counters of an endpoint begin with 0."""
    assert set(asdict(Counters()).values()) == {0}


async def test_joins_are_counted_by_their_answers() -> None:
    """Those that the channel refuses, of unknown topics and over the limit are refused."""
    engine = Engine(Limits(max_channels_per_transport=2, join_timeout_s=0.001))
    client = Client(engine, CHANNELS)

    for payload in ("refuse", "crash", "wait"):
        for topic in ("room:1", "room:2"):
            await join(client, topic, payload)
    for topic in ("unknown", "other", "room:1", "room:2", "room:3", "room:4"):
        await join(client, topic)

    assert counted(engine) == {
        "sockets_connected": 1,
        "joins_accepted": 2,
        "joins_refused": 2 + 2 + 2,
        "joins_crashed": 2 + 2,
        "joins_timed_out": 2,
        "channels_crashed": 2 + 2,
    }


async def test_channels_are_counted_by_their_ends() -> None:
    """A leave, a crash, a full mailbox, another join, or the end of the connection."""
    engine = Engine(Limits(max_mailbox_messages=0))
    clients = [Client(engine, CHANNELS) for _ in range(2)]

    for client in clients:
        for number in range(6):
            await join(client, f"room:{number}")
        await client.send("1", "2", "room:0", "phx_leave", {})
        await client.send("1", "2", "room:1", "crash", {})
        await join(client, "room:2")
        channel = client.server.channels["room:3"]
        channel._post("one more than allowed")
    before = counted(engine)
    for client in clients:
        await client.disconnect()

    assert before == {
        "sockets_connected": 2,
        "joins_accepted": 2 * 7,
        "channels_ended": 2 * 4,
        "channels_crashed": 2,
        "mailboxes_overflowed": 2,
    }
    assert counted(engine) == before | {"channels_ended": 2 * 7, "sockets_closed": 2}


def traffic(wire: ByteWire) -> tuple[int, int, int, int]:
    """Messages and bytes from clients, and to them."""
    return (wire.frames_received, wire.bytes_received, wire.frames_sent, wire.bytes_sent)


async def test_messages_are_counted_for_each_client() -> None:
    """Replies, pushes and broadcasts; of clients in one topic and in several."""
    engine = Engine()
    wire = engine.wire(V2)
    before = (wire.sockets, *traffic(wire))
    clients = [Client(engine, CHANNELS) for _ in range(4)]
    first, second = (b'["1","1","room:%d","phx_join",{}]' % number for number in (1, 2))
    frames = [b'["1","2","room:1","push",{}]', b'["1","2","room:1","say",{"n":1}]'] * 2

    for client, joins in zip(clients, [[first]] * 2 + [[first, second]] * 2, strict=True):
        for frame in joins:
            await client.send_bytes(frame)
    for client in clients:
        for frame in frames:
            await client.send_bytes(frame)
        await call_in_loop(engine.broadcast, "room:2", "news", {})
    heard = [client.received() for client in clients]

    assert before == (0, 0, 0, 0, 0)
    assert wire.sockets == 4
    assert traffic(wire) == (
        4 + 2 + 4 * len(frames),
        4 * len(first) + 2 * len(second) + 4 * sum(map(len, frames)),
        sum(map(len, heard)),
        sum(len(data) for client in clients for data in client.sink.writes),
    )
    assert [len(messages) for messages in heard] == [11, 11, 11 + 1 + 4, 11 + 1 + 4]
    for client in clients:
        await client.disconnect()
    assert wire.sockets == 0
