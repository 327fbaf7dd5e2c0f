"""A running channel: callbacks in order, one at a time, and their replies."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import (
    HandleResult,
    Socket,
    error,
    ok,
    on,
    reply,
)
from phoenix_compat.protocol.serializer import V1
from tests.unit.runtime.harness import (
    Client,
    Engine,
    Latches,
    OpenChannel,
    WaitingChannel,
    crashed,
    replied,
    settle,
    with_assigns,
)


class Answering(OpenChannel):
    """An event for each kind of reply; `answers` of the route are returned by name."""

    async def handle_in(self, event: str, payload: Any, socket: Socket) -> Any:
        return socket.assigns["answers"][event]

    @on("plain")
    def plain(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)

    @on("async")
    async def later(self, payload: Any, socket: Socket) -> HandleResult:
        return ok(payload)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ok(), [replied("1", "2", "t")]),
        (ok({"a": 1}), [replied("1", "2", "t", {"a": 1})]),
        (ok(["x"]), [replied("1", "2", "t", ["x"])]),
        (error(reason="no"), [replied("1", "2", "t", {"reason": "no"}, "error")]),
        (reply("weird", "x"), [replied("1", "2", "t", "x", "weird")]),
        (ok(b"\x06"), [b"\x01\x01\x01\x01\x0212tok\x06"]),
        (None, []),
    ],
)
async def test_an_answer(answer: HandleResult, expected: list[Any]) -> None:
    """The result of a callback is the reply to the message; None is no reply."""
    client = Client(Engine(), {"t": with_assigns(Answering, answers={"e": answer})})
    await client.join("t")

    await client.send("1", "2", "t", "e", {})

    assert client.received() == expected


@pytest.mark.parametrize("event", ["plain", "async"])
async def test_a_method_may_be_plain_or_async(event: str) -> None:
    """An `@on` method that does not wait has replied when `receive` returns."""
    client = Client(Engine(), {"t": Answering})
    await client.join("t")

    await client.send(None, 7, "t", event, [1])

    assert client.received() == [replied("1", 7, "t", [1])]


@pytest.mark.parametrize(
    "answer",
    [{"a": 1}, True, "ok", b"", ("ok", {}), 0, ok(object()), ok("\ud800")],
    ids=["dict", "bool", "str", "bytes", "tuple", "int", "no JSON", "surrogate"],
)
async def test_an_invalid_return_value(answer: Any) -> None:
    """An invalid result, or one that cannot be encoded, ends the channel."""
    engine = Engine()
    client = Client(engine, {"t": with_assigns(Answering, answers={"e": answer})})
    await client.join("t")

    await client.send("1", "2", "t", "e", {})

    assert client.received() == [crashed("1", "t")]
    assert engine.counters.channels_crashed == 1
    assert client.closes == []


@pytest.mark.parametrize("event", ["unknown", 1, None, ["plain"], {"a": 1}])
async def test_an_event_that_nobody_handles(event: Any) -> None:
    """An event without a callback ends the channel, whatever JSON it is."""
    client = Client(Engine(), {"t": OpenChannel})
    await client.join("t")

    await client.send("1", "2", "t", event, {})

    assert client.received() == [crashed("1", "t")]


async def test_v1_clients_cannot_receive_bytes() -> None:
    """A binary reply to a V1 client ends the channel."""
    routes = {"t": with_assigns(Answering, answers={"e": ok(b"x")})}
    client = Client(Engine(), routes, serializer=V1)
    await client.send_bytes(b'{"topic":"t","event":"phx_join","payload":{},"ref":"1"}')

    await client.send_bytes(b'{"topic":"t","event":"e","payload":{},"ref":"2"}')

    assert [message["event"] for message in client.received()] == ["phx_reply", "phx_error"]


async def test_a_callback_that_waits_holds_up_its_own_channel_only() -> None:
    """Later messages of its channel wait in order; the client's other channels continue."""
    latches = Latches()
    client = Client(Engine(), {"room:*": with_assigns(WaitingChannel, latches=latches)})
    await client.join("room:a", "1")
    await client.join("room:b", "2")

    await client.send("1", "3", "room:a", "slow", "x")
    await client.send("1", "4", "room:a", "quick", {})
    await client.send("2", "5", "room:b", "quick", {})
    await client.send(None, "6", "phoenix", "heartbeat", {})

    assert client.received() == [
        replied("2", "5", "room:b", ["quick", "5"]),
        replied(None, "6", "phoenix"),
    ]
    await latches.open("x", "through")
    assert client.received() == [
        replied("1", "3", "room:a", ["slow", "through"]),
        replied("1", "4", "room:a", ["quick", "4"]),
    ]


async def test_callbacks_of_a_channel_never_overlap() -> None:
    """A callback starts only when the previous one is done."""
    latches = Latches()
    client = Client(Engine(), {"t": with_assigns(WaitingChannel, latches=latches)})
    await client.join("t")
    for ref in ("2", "3", "4"):
        await client.send("1", ref, "t", "slow", ref)

    await latches.open("4")
    await latches.open("3")
    before = client.received()
    await latches.open("2")

    assert before == []
    assert [message[1] for message in client.received()] == ["2", "3", "4"]


async def test_the_ref_is_that_of_the_message_being_handled() -> None:
    """`socket.ref` is the message's while it is handled, also after a wait, and then None."""
    latches, refs = Latches(), []

    class Refs(OpenChannel):
        @on("e")
        async def on_e(self, payload: Any, socket: Socket) -> None:
            await latches.at("x")
            refs.append(socket.ref)
            socket.send_self("and then")

        def handle_info(self, message: Any, socket: Socket) -> None:
            refs.append(socket.ref)

    client = Client(Engine(), {"t": Refs})
    await client.join("t")
    await client.send("1", "2", "t", "e", {})
    await latches.open("x")

    assert refs == ["2", None]


async def test_many_messages_in_a_row_are_all_handled() -> None:
    """A long mailbox is handled in order, in several loop iterations."""
    latches = Latches()
    client = Client(Engine(), {"t": with_assigns(WaitingChannel, latches=latches)})
    await client.join("t")
    await client.send("1", "first", "t", "slow", "x")
    for number in range(300):
        await client.send("1", number, "t", "quick", {})

    await latches.open("x")
    await settle()

    assert [message[1] for message in client.received()] == ["first", *range(300)]
