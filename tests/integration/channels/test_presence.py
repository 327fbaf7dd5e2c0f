"""Presence over websockets: recipients and order of the messages.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Channel, Endpoint, HandleResult, Result, Socket, ok, on
from phoenix_compat.presence import Presence
from tests.conftest import Open, Serve
from tests.serving import accepting, socket_app
from tests.wire import CRASHED, OK, V1, V2, PhoenixWire, replied

ROOM = "room:a"


class PresentChannel(Channel):
    """Does what the client asks for, and replies with the result."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.send_self(payload)
        return ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        presence: Presence = socket.assigns["presence"]
        for key, meta in message.items():
            presence.track(socket, key, meta)
        socket.push("presence_state", presence.list(socket))

    @on("track")
    def track(self, payload: Any, socket: Socket) -> HandleResult:
        presence: Presence = socket.assigns["presence"]
        return ok(ref=presence.track(socket, payload["key"], {}, topic=payload.get("topic")))

    @on("untrack")
    def untrack(self, payload: Any, socket: Socket) -> HandleResult:
        presence: Presence = socket.assigns["presence"]
        presence.untrack(socket, payload["key"])
        return ok()

    @on("update")
    def update(self, payload: Any, socket: Socket) -> HandleResult:
        presence: Presence = socket.assigns["presence"]
        return ok(ref=presence.update(socket, payload["key"], payload["meta"]))


@pytest.fixture
async def url(serve: Serve) -> str:
    """A server with this channel on all of `room:*`."""
    endpoint = Endpoint()
    routes = {"room:*": (PresentChannel, {"presence": Presence(endpoint)})}
    return await serve(socket_app(accepting(routes), endpoint=endpoint))


def diff_of(joins: Any, leaves: Any, topic: str = ROOM) -> list[Any]:
    """A `presence_diff` as V2 clients of the topic receive it."""
    return [None, None, topic, "presence_diff", {"joins": joins, "leaves": leaves}]


def state_of(presences: Any, join_ref: str = "1") -> list[Any]:
    """A `presence_state` as V2 clients receive it."""
    return [join_ref, None, ROOM, "presence_state", presences]


async def enter(wire: PhoenixWire, *keys: str) -> dict[str, Any]:
    """Join the topic with these keys; return their presences with their refs."""
    await wire.join(ROOM, payload={key: {"user": key} for key in keys})
    diffs = await wire.recv_many(len(keys))
    await wire.recv()
    return {key: diff[4]["joins"][key] for key, diff in zip(keys, diffs, strict=True)}


async def test_two_clients(url: str, open_wire: Open) -> None:
    """§A.1: reply, own diff, state; the other gets the diff; a leaver does not get its own."""
    ann, bob = await open_wire(url), await open_wire(url)
    anns = await enter(ann, "ann")

    await bob.join(ROOM, payload={"bob": {"on": 2}})
    joined = await bob.recv()
    state = await bob.recv()
    left = [await bob.ask(["1", "4", ROOM, "phx_leave", {}]), await bob.recv()]

    bobs = joined[4]["joins"]
    assert bobs == {"bob": {"metas": [{"on": 2, "phx_ref": bobs["bob"]["metas"][0]["phx_ref"]}]}}
    assert joined == diff_of(bobs, {})
    assert state == state_of({**anns, **bobs})
    assert left == [["1", "4", ROOM, "phx_reply", OK], ["1", "1", ROOM, "phx_close", {}]]
    assert await ann.recv_many(2) == [diff_of(bobs, {}), diff_of({}, bobs)]
    await ann.fence()
    await bob.fence()


async def test_an_update(url: str, open_wire: Open) -> None:
    """§A.2, §9.10.146, B3: the reply, then one diff: the new meta joins, the old one leaves."""
    wire = await open_wire(url)
    old = (await enter(wire, "ann"))["ann"]["metas"][0]

    asked = ["1", "2", ROOM, "update", {"key": "ann", "meta": {"on": 4}}]
    reply, told = await wire.ask(asked), await wire.recv()

    new = {"on": 4, "phx_ref": reply[4]["response"]["ref"], "phx_ref_prev": old["phx_ref"]}
    assert told == diff_of({"ann": {"metas": [new]}}, {"ann": {"metas": [old]}})
    await wire.fence()


async def test_track_and_untrack_through_a_socket(url: str, open_wire: Open) -> None:
    """§9.10.144: a socket represents its channel, on its topic."""
    wire = await open_wire(url)
    await enter(wire)

    reply = await wire.ask(["1", "2", ROOM, "track", {"key": 5}])
    tracked = await wire.recv()
    await wire.ask(["1", "3", ROOM, "untrack", {"key": 5}])
    untracked = await wire.recv()
    again = await wire.ask(["1", "4", ROOM, "untrack", {"key": 5}])

    five = {"5": {"metas": [{"phx_ref": reply[4]["response"]["ref"]}]}}
    assert [tracked, untracked] == [diff_of(five, {}), diff_of({}, five)]
    assert again == ["1", "4", ROOM, "phx_reply", replied({})]


@pytest.mark.parametrize("end", ["leave", "crash", "drop"])
async def test_every_end_of_a_channel(end: str, url: str, open_wire: Open) -> None:
    """§9.10.140, §10.57: a leave, a crash and a disconnect broadcast one diff with all keys."""
    ann, bob = await open_wire(url), await open_wire(url)
    await enter(ann)
    bobs = await enter(bob, "bob", "bobby")
    await ann.recv_many(2)

    if end == "leave":
        await bob.send(["1", "2", ROOM, "phx_leave", {}])
    elif end == "crash":
        assert await bob.ask(["1", "2", ROOM, "update", {"key": "eve", "meta": {}}]) == [
            *("1", "1", ROOM, "phx_error"),
            CRASHED,
        ]
    else:
        await bob.close()

    assert await ann.recv() == diff_of({}, bobs)
    await ann.fence()


async def test_a_channel_on_two_topics(url: str, open_wire: Open) -> None:
    """§6.2: presences on other topics end with the channel too, one diff per topic."""
    ann, bob = await open_wire(url), await open_wire(url)
    await ann.join("room:b")
    await ann.recv()
    await enter(bob)

    await bob.send(["1", "2", ROOM, "track", {"key": "bob", "topic": "room:b"}])
    joined = await ann.recv()
    await bob.close()

    assert await ann.recv() == diff_of({}, joined[4]["joins"], "room:b")


async def test_a_duplicate_join(url: str, open_wire: Open) -> None:
    """§6.3: others get the old one's leave, then the new join; the client a new state."""
    ann, bob = await open_wire(url), await open_wire(url)
    await enter(ann)
    old = await enter(bob, "bob")
    await ann.recv()

    await bob.join(ROOM, "2", {"bob": {}})
    closed, joined, state = await bob.recv_many(3)

    new = joined[4]["joins"]
    assert closed == ["1", "1", ROOM, "phx_close", {}]
    assert [joined, state] == [diff_of(new, {}), state_of(new, "2")]
    assert await ann.recv_many(2) == [diff_of({}, old), diff_of(new, {})]
    await bob.fence()


async def test_a_state_after_every_join(url: str, open_wire: Open) -> None:
    """§10.59: a client that rejoins gets a state again."""
    wire = await open_wire(url)
    await enter(wire, "ann")
    await wire.send(["1", "2", ROOM, "phx_leave", {}])
    await wire.recv_many(2)

    again = await enter(wire, "ann")

    await wire.ask(["1", "3", ROOM, "untrack", {"key": "ann"}])
    assert await wire.recv() == diff_of({}, again)


async def test_a_client_of_the_first_version(url: str, open_wire: Open) -> None:
    """§6.1: V1 has the same payloads in objects."""
    old, new = await open_wire(url, V1), await open_wire(url, V2)
    join = {"topic": ROOM, "event": "phx_join", "payload": {}, "ref": "1", "join_ref": "1"}
    await old.send(join)
    _reply, state = await old.recv_many(2)

    bobs = await enter(new, "bob")

    told = await old.recv()
    assert (state["event"], state["payload"]) == ("presence_state", {})
    assert (told["event"], told["payload"]) == ("presence_diff", {"joins": bobs, "leaves": {}})


async def test_the_reference_channel(reference_url: str, open_wire: Open) -> None:
    """vectors/README.md: without a user the payload's is used; `update` merges, `list` lists."""
    wire = await open_wire(reference_url)
    await wire.join("presence:x", payload={"user": "ann"})
    joined, state = await wire.recv_many(2)

    await wire.send(["1", "2", "presence:x", "update", {"away": True}])
    reply, updated = await wire.recv_many(2)
    listed = await wire.ask(["1", "3", "presence:x", "list", {}])

    before = joined[4]["joins"]["ann"]["metas"][0]
    after = updated[4]["joins"]["ann"]["metas"][0]
    assert state[4] == joined[4]["joins"]
    assert isinstance(before["online_at"], int)
    assert after == {
        **before,
        "away": True,
        "phx_ref": after["phx_ref"],
        "phx_ref_prev": before["phx_ref"],
    }
    assert (reply[4], listed[4]) == (OK, replied(updated[4]["joins"]))
