"""A client's socket: heartbeats, unmatched and stale messages, unusual frames, its end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from phoenix_compat import (
    Channel,
    Reason,
    Result,
    Socket,
    ok,
)
from phoenix_compat.errors import EncodeError, InvalidMessageError
from phoenix_compat.protocol.serializer import V1
from tests.unit.runtime.harness import (
    Client,
    Engine,
    Latches,
    OpenChannel,
    WaitingChannel,
    call_in_loop,
    closed,
    crashed,
    refused,
    replied,
)


@pytest.mark.parametrize(
    ("join_ref", "ref"), [(None, "1"), (None, None), (None, 1), ("9", "1"), ({"a": 1}, [2])]
)
async def test_a_heartbeat(join_ref: Any, ref: Any) -> None:
    """203: a heartbeat gets a reply with its ref, of any type, and a null join_ref."""
    client = Client(Engine(), {})

    await client.send(join_ref, ref, "phoenix", "heartbeat", "anything")

    assert client.received() == [replied(None, ref, "phoenix")]


async def test_a_heartbeat_where_phoenix_is_joined() -> None:
    """A channel on "phoenix" gets everything but heartbeats."""
    client = Client(Engine(), {"phoenix": WaitingChannel})
    await client.join("phoenix")

    await client.send("1", "2", "phoenix", "heartbeat", {})
    await client.send("1", "3", "phoenix", "quick", {})

    assert client.received() == [
        replied(None, "2", "phoenix"),
        replied("1", "3", "phoenix", ["quick", "3"]),
    ]


@pytest.mark.parametrize("topic", ["nope", "", None, 1, ["t"], {"a": 1}, "T"])
@pytest.mark.parametrize("event", ["e", "phx_join", "phx_close", None])
async def test_an_unmatched_topic(topic: Any, event: Any) -> None:
    """18, 26: topics without a route or a join get an error, with a null join_ref."""
    client = Client(Engine(), {"t": OpenChannel})

    await client.send("1", "2", topic, event, {})

    assert client.received() == [refused(None, "2", topic, "unmatched topic")]


async def test_leaving_what_was_never_joined() -> None:
    """The leave of a topic that is not joined gets ok with its join_ref, and no phx_close."""
    client = Client(Engine(), {"t": OpenChannel})

    await client.send("1", "2", "t", "phx_leave", {})

    assert client.received() == [replied("1", "2", "t")]


@pytest.mark.parametrize(
    ("join_ref", "is_heard"),
    [("1", True), (None, True), ("2", False), ("", False), (1, False), (True, False)],
)
async def test_stale_messages_are_dropped(join_ref: Any, is_heard: bool) -> None:
    """A message, also a leave, is for the join with its join_ref; null matches any join."""
    client = Client(Engine(), {"t": WaitingChannel})
    await client.join("t")

    await client.send(join_ref, "2", "t", "quick", {})
    await client.send(join_ref, "3", "t", "phx_leave", {})

    leaving = [replied("1", "2", "t", ["quick", "2"]), replied("1", "3", "t"), closed("1", "t")]
    assert client.received() == (leaving if is_heard else [])


async def test_a_join_without_a_join_ref() -> None:
    """210: the join's ref replaces a null join_ref, but only null is current."""
    client = Client(Engine(), {"t": WaitingChannel})

    await client.send(None, "16", "t", "phx_join", {})
    await client.send("16", "17", "t", "quick", {})
    await client.send(None, "18", "t", "phx_leave", {})

    assert client.received() == [
        replied(None, "16", "t"),
        replied("16", "18", "t"),
        closed(None, "t"),
    ]


async def test_a_join_whose_join_ref_is_false() -> None:
    """B11: Elixir's `join_ref || ref` replaces false too, in what the channel sends."""
    client = Client(Engine(), {"t": WaitingChannel})

    await client.send(False, "16", "t", "phx_join", {})
    await client.send(False, "17", "t", "quick", {"n": 1})

    assert client.received() == [
        replied(False, "16", "t"),
        replied("16", "17", "t", ["quick", "17"]),
    ]


# Frames that end the connection, and notices of other kinds.


@pytest.mark.parametrize("data", [b"", b"{}", b"[1,2,3,4]", b"null"])
async def test_an_unreadable_frame(data: bytes) -> None:
    """An invalid message is an error with a close code for the transport."""
    client = Client(Engine(), {})

    with pytest.raises(Exception, match=r"not|JSON|V1 frames") as raised:
        await client.send_bytes(data)

    assert getattr(raised.value, "close_code", None) == 1011


async def test_a_binary_frame_that_is_not_a_push() -> None:
    """A binary frame of another kind is an error for the transport."""
    client = Client(Engine(), {})

    with pytest.raises(InvalidMessageError):
        await client.send_bytes(b"\x01", is_binary=True)


async def test_a_reply_that_cannot_be_encoded() -> None:
    """A topic that is not UTF-8 cannot be sent back as JSON: the transport closes with 1011."""
    client = Client(Engine(), {})

    with pytest.raises(EncodeError):
        await client.send_bytes(b"\x00\x00\x01\x01\x011\xffe", is_binary=True)


class EchoingJoin(Channel):
    """Replies to a join with its payload."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        return ok(payload)


async def test_a_binary_join() -> None:
    """A join may be a binary frame with bytes as its payload; so may the reply."""
    client = Client(Engine(), {"t": EchoingJoin})

    await client.send_bytes(b"\x00\x01\x01\x01\x0811tphx_join\x09\x09", is_binary=True)

    assert client.received() == [b"\x01\x01\x01\x01\x0211tok\x09\x09"]


async def test_a_v1_client() -> None:
    """A V1 client gets objects without join_ref, and phx_close with its join_ref as the ref."""
    client = Client(Engine(), {"t": OpenChannel}, serializer=V1)

    await client.send_bytes(b'{"topic":"t","event":"phx_join","payload":{},"ref":"1"}')
    await client.send_bytes(b'{"topic":"t","event":"phx_leave","payload":{},"ref":"2"}')

    response = {"response": {}, "status": "ok"}
    assert client.received() == [
        {"event": "phx_reply", "payload": response, "ref": "1", "topic": "t"},
        {"event": "phx_reply", "payload": response, "ref": "2", "topic": "t"},
        {"event": "phx_close", "payload": {}, "ref": None, "topic": "t"},
    ]


# The end of a connection.


async def test_a_forced_disconnect() -> None:
    """22, 83: `disconnect` on the socket's id closes with 1001; the channels send nothing."""
    reasons: list[Reason] = []

    class Noted(OpenChannel):
        def terminate(self, reason: Reason, socket: Socket) -> None:
            reasons.append(reason)

    engine = Engine()
    client = Client(engine, {"t": Noted}, id="user:1")
    other = Client(engine, {"t": Noted}, id="user:2")
    await client.join("t")

    await call_in_loop(engine.broadcast, "user:1", "other", {})
    assert client.closes == []
    await call_in_loop(engine.broadcast, "user:1", "disconnect", {})

    assert client.closes == [(1001, ("shutdown", "disconnected"))]
    assert (client.received(), other.closes) == ([], [])
    assert reasons == [("shutdown", "disconnected")]


async def test_a_socket_that_is_gone_is_not_disconnected_again() -> None:
    """The id's subscription ends with the socket."""
    engine = Engine()
    client = Client(engine, {}, id="user:1")

    await client.disconnect()
    engine.broadcast("user:1", "disconnect", {})

    assert client.closes == []
    assert len(engine.pubsub) == 0


@pytest.mark.parametrize(
    ("topics", "topic"),
    [(("users", "user:1"), "users"), (("users", "user:1"), "user:1"), (("users",), "user:1")],
)
async def test_a_disconnect_on_a_topic_of_connect(topics: tuple[str, ...], topic: str) -> None:
    """A topic that `connect` has subscribed to closes the connection, as its id does, once."""
    engine = Engine()
    client = Client(engine, {"t": OpenChannel}, id="user:1", connection_topics=topics)
    before = set(engine.pubsub.topics)

    await call_in_loop(engine.broadcast, topic, "disconnect", {})

    assert before == {"users", "user:1"}
    assert client.closes == [(1001, ("shutdown", "disconnected"))]
    assert not engine.pubsub.topics


async def test_whether_a_client_has_channels() -> None:
    """Joined, or with a join that waits."""
    latches = Latches()

    class Waiting(OpenChannel):
        async def join(self, topic: str, payload: Any, socket: Socket) -> Result:  # type: ignore[override] # async instead of plain
            return ok(await latches.at("join"))

    client = Client(Engine(), {"t": Waiting})
    seen = [client.server.has_channels]
    await client.send("1", "1", "t", "phx_join", {})
    seen.append(client.server.has_channels)
    await latches.open("join", {})
    seen.append(client.server.has_channels)
    await client.send("1", "2", "t", "phx_leave", {})
    seen.append(client.server.has_channels)

    assert seen == [False, True, True, False]


async def test_when_a_client_came_and_sent_its_last_heartbeat() -> None:
    """On the monotonic clock; 0.0 without a heartbeat."""
    began_s = time.monotonic()
    client = Client(Engine(), {})
    before_s = client.server.heartbeat_at_s

    await client.send(None, "1", "phoenix", "heartbeat", {})

    server = client.server
    assert before_s == 0.0
    assert began_s <= server.opened_at_s <= server.heartbeat_at_s <= time.monotonic()


async def test_one_crash_is_one_channels() -> None:
    """16: the socket's other channels, and the topic's other clients, continue."""
    engine = Engine()
    client, other = (Client(engine, {"*": WaitingChannel}) for _ in range(2))
    for topic in ("a", "b"):
        await client.join(topic)
    await other.join("a")

    await client.send("1", "2", "a", "e", "no latches here")
    await client.send("1", "3", "b", "quick", {})
    await other.send("1", "4", "a", "quick", {})

    assert client.received() == [crashed("1", "a"), replied("1", "3", "b", ["quick", "3"])]
    assert other.received() == [replied("1", "4", "a", ["quick", "4"])]
