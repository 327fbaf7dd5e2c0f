"""Watching one client: every message in both directions, in the order of the wire."""

from __future__ import annotations

import json
from typing import Any

from phoenix_compat.channel import Channel, on
from phoenix_compat.protocol.serializer import V1
from phoenix_compat.result import Reason, Result, ok
from phoenix_compat.runtime.socket_server import SocketServer
from phoenix_compat.runtime.watching import is_watched, unwatch, watch
from phoenix_compat.socket import Socket
from tests.unit.runtime.harness import Client, Engine


class Room(Channel):
    """Answers, and broadcasts."""

    async def join(self, _topic: str, _payload: Any, _socket: Socket) -> Result:
        """Accept."""
        return ok()

    @on("echo")
    def echo(self, payload: Any, _socket: Socket) -> Result:
        """Answer."""
        return ok(payload)

    @on("shout")
    def shout(self, payload: Any, socket: Socket) -> None:
        """Broadcast."""
        socket.broadcast("shouted", payload)


class Tape:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []
        self.reasons: list[Reason] = []

    def received(self, frame: bytes, *, is_binary: bool) -> None:
        """See FrameTap."""
        self.messages.append(("in", frame if is_binary else json.loads(frame)))

    def sent(self, frame: bytes, *, is_binary: bool) -> None:
        """See FrameTap."""
        self.messages.append(("out", frame if is_binary else json.loads(frame)))

    def ended(self, reason: Reason) -> None:
        """See FrameTap."""
        self.reasons.append(reason)

    def events(self) -> list[tuple[str, str]]:
        """The direction and the event of each V2 message."""
        return [(side, message[3]) for side, message in self.messages]


def client_of(engine: Engine, **options: Any) -> Client:
    """A client that may join rooms."""
    return Client(engine, {"room:*": Room}, **options)


async def test_replies_and_broadcasts_are_seen_as_the_client_gets_them() -> None:
    """Those of channels that were joined before, and later; its own and those of others."""
    engine = Engine()
    watched, other = client_of(engine), client_of(engine)
    for client in (watched, other):
        await client.join("room:a")
    tape = Tape()

    watch(watched.server, tape)
    await watched.send("1", "2", "room:a", "echo", {"n": 1})
    await watched.send("3", "3", "room:b", "phx_join", {})
    engine.broadcast("room:a", "told", {"n": 2})
    engine.broadcast("room:b", "told", {"n": 3})
    await other.send("1", "9", "room:a", "shout", {"n": 4})
    got = watched.received()

    assert tape.events() == [
        ("in", "echo"),
        ("out", "phx_reply"),
        ("in", "phx_join"),
        ("out", "phx_reply"),
        ("out", "told"),
        ("out", "told"),
        ("out", "shouted"),
    ]
    assert [message for side, message in tape.messages if side == "out"] == got
    assert len(other.received()) == 2


async def test_a_watch_ends_without_a_trace() -> None:
    """Afterwards the client gets the same, and the tape nothing; the fanouts are as before."""
    engine = Engine()
    client = client_of(engine)
    await client.join("room:a")
    tape = Tape()

    watch(client.server, tape)
    watch(client.server, tape)
    unwatch(client.server)
    unwatch(client.server)
    engine.broadcast("room:a", "told", {"n": 1})
    await client.send("1", "2", "room:a", "echo", {})

    assert [message[3] for message in client.received()] == ["told", "phx_reply"]
    assert tape.messages == []
    assert not is_watched(client.server)
    assert type(client.server) is SocketServer
    assert client.server.outbox.fanout_count == 1
    await client.send("1", "3", "room:a", "phx_leave", {})
    assert (client.server.outbox.fanout_count, len(engine.pubsub)) == (0, 0)


async def test_a_client_in_several_topics_was_watched() -> None:
    """Afterwards it is in as many fanouts as before, and one that it leaves is one less."""
    client = client_of(Engine())
    for number in range(3):
        await client.join(f"room:{number}")
    outbox = client.server.outbox

    watch(client.server, Tape())
    during = outbox.fanout_count
    unwatch(client.server)

    assert (during, outbox.fanout_count) == (4, 3)
    await client.send("1", "3", "room:1", "phx_leave", {})
    assert outbox.fanout_count == 2


async def test_binary_messages_and_pongs() -> None:
    """Bytes are seen as bytes; what is not a message is not seen."""
    client = client_of(Engine())
    await client.join("room:a")
    tape = Tape()
    watch(client.server, tape)

    push = b"\x00\x01\x01\x06\x04" + b"12room:aecho" + b"\x09"
    await client.send_bytes(push, is_binary=True)
    client.server.outbox.send(b"\x8a\x00")

    assert tape.messages == [
        ("in", push),
        ("out", b"\x01\x01\x01\x06\x02" + b"12room:aok" + b"\x09"),
    ]


async def test_a_slow_client_is_watched_too() -> None:
    """What waits in the backlog is seen when it is produced."""
    engine = Engine()
    client = client_of(engine)
    await client.join("room:a")
    tape = Tape()
    client.sink.free_bytes = 3
    watch(client.server, tape)

    for number in range(3):
        engine.broadcast("room:a", "told", {"n": number})
    engine.tick.flush()

    assert tape.events() == [("out", "told")] * 3
    assert client.server.outbox.is_slow


async def test_the_end_of_the_connection_is_seen_once() -> None:
    """With its reason; a V1 client is watched like others."""
    engine = Engine()
    client = client_of(engine, serializer=V1)
    tape = Tape()
    watch(client.server, tape)

    join = {"topic": "room:a", "event": "phx_join", "ref": "1", "payload": {}}
    await client.send_bytes(json.dumps(join).encode())
    await client.disconnect()
    await client.disconnect()

    assert [(side, message["event"]) for side, message in tape.messages][:2] == [
        ("in", "phx_join"),
        ("out", "phx_reply"),
    ]
    assert tape.reasons == [("shutdown", "closed")]
