"""Broadcasts on the wire: recipients, form and order.

Numbers are those of docs/protocol.md.
"""

from __future__ import annotations

import random
from typing import Any

import aiohttp
import pytest

from phoenix_compat import Channel, EncodeError, Endpoint, HandleResult, Result, Socket, ok, on
from phoenix_compat.conformance.reference import RoomChannel
from tests.conftest import Open, Serve
from tests.serving import accepting, socket_app
from tests.wire import CRASHED, OK, V1, PhoenixWire

V1_JOIN = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"}


class ScriptChannel(Channel):
    """Runs the steps of `script`, `["push", n]` or `["broadcast", n]`; then replies."""

    intercept = ("intercepted",)

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        return ok()

    @on("script")
    async def script(self, payload: Any, socket: Socket) -> HandleResult:
        for verb, number in payload["steps"]:
            if verb == "elsewhere":
                socket.endpoint.broadcast(payload["topic"], "msg", {"n": number})
            elif verb == "intercepted":
                await socket.broadcast("intercepted", {"n": number})
            else:
                await getattr(socket, verb)("msg", {"n": number})
        return ok({"n": "end"})

    async def handle_out(self, event: str, payload: Any, socket: Socket) -> None:
        await socket.push("msg", payload)


async def test_order_within_one_handler(serve: Serve, open_wire: Open) -> None:
    """Appendix A.4, §9.13.219: push, broadcast, push and reply arrive in the order of the calls."""
    wire = await open_wire(await serve(socket_app(accepting({"room:*": ScriptChannel}))))
    await wire.join("room:a")
    steps = [["push", 1], ["broadcast", 2], ["push", 3]]

    await wire.send(["1", "3", "room:a", "script", {"steps": steps}])

    assert await wire.recv_many(4) == [
        ["1", None, "room:a", "msg", {"n": 1}],
        [None, None, "room:a", "msg", {"n": 2}],
        ["1", None, "room:a", "msg", {"n": 3}],
        ["1", "3", "room:a", "phx_reply", {"response": {"n": "end"}, "status": "ok"}],
    ]


@pytest.mark.parametrize("seed", range(8))
async def test_order_for_every_client(serve: Serve, open_wire: Open, seed: int) -> None:
    """§0.1, §10.37: each client gets its messages in the order in which they were sent."""
    rng = random.Random(seed)  # noqa: S311 - a seeded order, not a secret
    base_url = await serve(socket_app(accepting({"room:*": ScriptChannel})))
    speaker, both, old = (
        await open_wire(base_url),
        await open_wire(base_url),
        await open_wire(base_url, V1),
    )
    for wire in (speaker, both):
        await wire.join("room:a")
        await wire.join("room:b")
    await old.ask(V1_JOIN)
    verbs = ["push", "broadcast", "broadcast_from", "elsewhere"]
    scripts = [
        [[rng.choice(verbs), 100 * turn + step] for step in range(rng.randrange(1, 12))]
        for turn in range(12)
    ]

    for script in scripts:
        await speaker.send(["1", "2", "room:a", "script", {"steps": script, "topic": "room:b"}])

    made = [step for script in scripts for step in script]
    spoken = [n for verb, n in made if verb != "broadcast_from"]
    assert await numbers(speaker, len(spoken), len(scripts)) == spoken
    heard_by_both = [n for verb, n in made if verb != "push"]
    assert await numbers(both, len(heard_by_both)) == heard_by_both
    heard_by_old = [n for verb, n in made if verb in {"broadcast", "broadcast_from"}]
    assert [(await old.recv())["payload"]["n"] for _n in heard_by_old] == heard_by_old


async def numbers(wire: PhoenixWire, count: int, replies: int = 0) -> list[int]:
    """The numbers of the next `count` messages, without replies."""
    frames = await wire.recv_many(count + replies)
    assert sum(frame[3] == "phx_reply" for frame in frames) == replies
    return [frame[4]["n"] for frame in frames if frame[3] == "msg"]


async def test_an_intercepted_event_keeps_its_place(serve: Serve, open_wire: Open) -> None:
    """§4.5, §10.38: it goes through the channel, in order, and has a join_ref."""
    base_url = await serve(socket_app(accepting({"room:*": ScriptChannel})))
    speaker, other = await open_wire(base_url), await open_wire(base_url)
    await speaker.join("room:a")
    await other.join("room:a", "7")

    await speaker.send(["1", "2", "room:a", "script", {"steps": [["intercepted", 1], ["push", 2]]}])

    assert await speaker.recv_many(3) == [
        ["1", None, "room:a", "msg", {"n": 2}],
        ["1", "2", "room:a", "phx_reply", {"response": {"n": "end"}, "status": "ok"}],
        ["1", None, "room:a", "msg", {"n": 1}],
    ]
    assert await other.recv() == ["7", None, "room:a", "msg", {"n": 1}]


async def test_broadcasts_from_outside(serve: Serve, open_wire: Open) -> None:
    """§4.3, §10.38: from the endpoint, to V1 and V2, null refs, even a reserved event name."""
    endpoint = Endpoint()
    base_url = await serve(socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint))
    new, old = await open_wire(base_url), await open_wire(base_url, V1)
    await new.join("room:a")
    await old.ask(V1_JOIN)

    await endpoint.broadcast("room:a", "phx_reply", {"x": 1})
    await endpoint.broadcast("room:nobody", "msg", {"x": 2})
    await endpoint.broadcast("room:a", "msg", {"x": 3})

    assert await new.recv_many(2) == [
        [None, None, "room:a", "phx_reply", {"x": 1}],
        [None, None, "room:a", "msg", {"x": 3}],
    ]
    assert [await old.recv(), await old.recv()] == [
        {"event": "phx_reply", "payload": {"x": 1}, "ref": None, "topic": "room:a"},
        {"event": "msg", "payload": {"x": 3}, "ref": None, "topic": "room:a"},
    ]


async def test_broadcasts_over_http_reach_everyone(reference_url: str, open_wire: Open) -> None:
    """The reference set's POST /broadcast sends an event `count` times."""
    wire = await open_wire(reference_url)
    await wire.join("room:a")

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{reference_url}/broadcast/room:a/msg?n=3", json={"a": 1}) as response,
    ):
        assert response.status < 300

    assert await wire.recv_many(3) == [[None, None, "room:a", "msg", {"a": 1}]] * 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 421),
    ],
)
async def test_a_page_from_elsewhere_broadcasts_nothing(
    reference_url: str, open_wire: Open, headers: dict[str, str], status: int
) -> None:
    """Posts that any page can cause are refused, and nothing is broadcast."""
    wire = await open_wire(reference_url)
    await wire.join("room:a")
    headers = {"Content-Type": "application/json"} | headers

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{reference_url}/broadcast/room:a/msg", data=b"{}", headers=headers) as told,
    ):
        pass

    assert told.status == status
    await wire.fence()


async def test_bytes_to_everyone(serve: Serve, open_wire: Open) -> None:
    """§2.4, §2.5: a binary broadcast has the third format, without refs."""
    endpoint = Endpoint()
    wire = await open_wire(
        await serve(socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint))
    )
    await wire.join("room:a")

    await endpoint.broadcast("room:a", "b", b"\x01\x02\x03")

    assert await wire.recv_binary() == b"\x02\x06\x01room:ab\x01\x02\x03"


async def test_bytes_for_a_v1_client_fail_at_the_broadcaster(serve: Serve, open_wire: Open) -> None:
    """§2.2, §2.5: the sender gets the error; the V1 client gets nothing."""
    endpoint = Endpoint()
    wire = await open_wire(
        await serve(socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint)), V1
    )
    await wire.ask(V1_JOIN)

    with pytest.raises(EncodeError):
        endpoint.broadcast("room:a", "b", b"\x01")

    answer = await wire.ask({**V1_JOIN, "event": "echo", "ref": "2"})
    assert (answer["event"], answer["ref"]) == ("phx_reply", "2")


async def test_a_broadcaster_in_a_channel_crashes_alone(serve: Serve, open_wire: Open) -> None:
    """§2.5: it gets phx_error; the subscribers stay joined."""
    base_url = await serve(socket_app(accepting({"room:*": RoomChannel})))
    speaker, old = await open_wire(base_url), await open_wire(base_url, V1)
    await speaker.join("room:a")
    await old.ask(V1_JOIN)

    await speaker.send_binary(b"\x00\x01\x01\x06\x09" + b"12room:abroadcast" + b"\xff")

    assert await speaker.recv() == ["1", "1", "room:a", "phx_error", CRASHED]
    answer = await old.ask({**V1_JOIN, "event": "echo", "ref": "2"})
    assert answer["payload"] == OK


@pytest.mark.parametrize("payload", [None, "text", [1], object(), {"a": object()}])
async def test_what_cannot_be_encoded_fails_at_the_broadcaster(
    serve: Serve, open_wire: Open, payload: Any
) -> None:
    """§4.3: it raises if there is a subscriber, and does nothing otherwise."""
    endpoint = Endpoint()
    wire = await open_wire(
        await serve(socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint))
    )
    await wire.join("room:a")

    endpoint.broadcast("room:nobody", "msg", payload)
    with pytest.raises(EncodeError):
        endpoint.broadcast("room:a", "msg", payload)

    await wire.fence()


async def test_a_channel_that_ended_gets_no_broadcasts(reference_url: str, open_wire: Open) -> None:
    """§3.6: crashed, stopped, left and replaced channels are not subscribed any more."""
    speaker, listener = await open_wire(reference_url), await open_wire(reference_url)
    await speaker.join("room:a")
    for number, event in enumerate(("crash", "stop", "phx_leave")):
        await listener.join("room:a", str(number))
        await listener.send([str(number), "x", "room:a", event, {}])
        while (await listener.recv())[3] not in {"phx_close", "phx_error"}:
            pass

    await speaker.send(["1", "2", "room:a", "broadcast", {"m": 1}])
    await speaker.recv_many(2)

    await listener.fence()


async def test_a_rejoined_channel_gets_broadcasts_once(reference_url: str, open_wire: Open) -> None:
    """§3.4: after a duplicate join a broadcast arrives once, not once per join."""
    wire = await open_wire(reference_url)
    await wire.join("room:a", "1")
    await wire.send(["2", "2", "room:a", "phx_join", {}])
    await wire.recv_many(2)

    await wire.send(["2", "3", "room:a", "broadcast", {"m": 1}])

    assert await wire.recv_many(2) == [
        [None, None, "room:a", "msg", {"m": 1}],
        ["2", "3", "room:a", "phx_reply", OK],
    ]
    await wire.fence()


async def test_a_large_audience(serve: Serve, open_wire: Open) -> None:
    """§2.5: a hundred clients of both versions all get the same messages, once."""
    endpoint = Endpoint()
    base_url = await serve(socket_app(accepting({"room:*": RoomChannel}), endpoint=endpoint))
    new = [await open_wire(base_url) for _client in range(60)]
    old = [await open_wire(base_url, V1) for _client in range(40)]
    for wire in new:
        await wire.join("room:a")
    for wire in old:
        await wire.ask(V1_JOIN)

    await endpoint.broadcast("room:a", "msg", {"m": "é"})

    assert [await wire.recv() for wire in new] == [[None, None, "room:a", "msg", {"m": "é"}]] * 60
    message = {"event": "msg", "payload": {"m": "é"}, "ref": None, "topic": "room:a"}
    assert [await wire.recv() for wire in old] == [message] * 40
