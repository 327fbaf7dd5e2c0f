"""What is left of a channel after its end, and what it does between two messages."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import HandleResult, Limits, Reason, Result, Socket, Stop, ok, on, stop
from phoenix_compat.runtime.channel_owner import Info
from tests.unit.runtime.harness import (
    Client,
    Engine,
    Latches,
    OpenChannel,
    TalkingChannel,
    WaitingChannel,
    call_in_loop,
    closed,
    crashed,
    replied,
    settle,
    with_assigns,
)


class EndingChannel(OpenChannel):
    """Ends in the way that an event names."""

    @on("stop")
    def stop(self, payload: Any, socket: Socket) -> HandleResult:
        """End gracefully."""
        return stop()

    @on("stop later")
    async def stop_later(self, payload: Any, socket: Socket) -> HandleResult:
        """End gracefully, after a wait."""
        await socket.assigns["latches"].at("wait")
        return stop()

    @on("crash")
    def crash(self, payload: Any, socket: Socket) -> HandleResult:
        """End by an error."""
        raise RuntimeError

    @on("flood")
    def flood(self, payload: Any, socket: Socket) -> HandleResult:
        """Overfill the own mailbox, and go on."""
        for number in range(3):
            socket.send_self(number)
        return ok()

    @on("flood and crash")
    def flood_and_crash(self, payload: Any, socket: Socket) -> HandleResult:
        """Overfill the own mailbox, and raise."""
        self.flood(payload, socket)
        raise RuntimeError

    def handle_info(self, message: Any, socket: Socket) -> Stop:
        """End gracefully after a message of its own."""
        return stop()

    @on("stop by info")
    def stop_by_info(self, payload: Any, socket: Socket) -> None:
        """Send itself a message."""
        socket.send_self("stop")


ENDS = [
    "stop", "stop later", "stop by info", "phx_leave",
    "crash", "unknown", "flood", "flood and crash",
]  # fmt: skip


@pytest.mark.parametrize("event", ENDS)
async def test_an_ended_channel_stays_ended(event: str) -> None:
    """It handles nothing and sends nothing more, whoever still knows it."""
    latches, engine = Latches(), Engine(Limits(max_mailbox_messages=2))
    client = Client(engine, {"t": with_assigns(EndingChannel, latches=latches)})
    await client.join("t")
    channel = client.server.channels["t"]

    await client.send("1", "2", "t", event, {})
    await latches.open("wait")
    client.received()
    channel.push("late", {})
    channel.deliver(Info("late"))

    assert channel.is_ended
    assert client.received() == []
    assert engine.counters.channels_ended == 1


async def test_a_channel_is_busy_with_what_came_during_its_join() -> None:
    """What it sends itself meanwhile is handled afterwards."""

    class Counting(OpenChannel):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:
            socket.send_self(3)
            return ok()

        def handle_info(self, message: Any, socket: Socket) -> None:
            if message:
                socket.send_self(message - 1)
            socket.push("count", {"n": message})

    client = Client(Engine(), {"t": Counting})

    await client.send("1", "1", "t", "phx_join", {})

    heard = client.received()
    assert heard[0] == replied("1", "1", "t")
    assert [message[4]["n"] for message in heard[1:]] == [3, 2, 1, 0]


async def test_a_channel_that_has_waited_is_joined_again() -> None:
    """The old channel has no callback to cancel any more."""
    latches = Latches()
    client = Client(Engine(), {"t": with_assigns(WaitingChannel, latches=latches)})
    await client.join("t")
    await client.send("1", "2", "t", "slow", "x")
    await latches.open("x")
    client.received()

    await client.send("3", "3", "t", "phx_join", {})

    assert client.received() == [replied("3", "3", "t"), closed("1", "t")]


async def test_messages_are_counted_by_channel() -> None:
    """Those of the client since the join, whether the channel was idle or busy."""
    latches = Latches()
    client = Client(Engine(), {"t": with_assigns(WaitingChannel, latches=latches)})
    await client.join("t")
    channel = client.server.channels["t"]
    before = channel.received

    for event in ("quick", "slow", "quick"):
        await client.send("1", "2", "t", event, "x")

    assert (before, channel.received) == (0, 3)


async def test_unsubscribing_from_a_topic_that_was_never_subscribed() -> None:
    """Nothing happens, before the first subscription and after it."""
    client = Client(Engine(), {"t": TalkingChannel})
    await client.join("t")
    channel = client.server.channels["t"]

    await client.send("1", "2", "t", "unsubscribe", "news")
    channel.subscribe("news")
    await client.send("1", "3", "t", "unsubscribe", "other")
    channel.unsubscribe("news")

    assert client.received() == [replied("1", "2", "t"), replied("1", "3", "t")]
    assert channel._subscriptions == set()


async def test_an_event_that_is_not_a_text_may_be_handled() -> None:
    """By `handle_in`, as any other without a method."""

    class Any_(OpenChannel):  # noqa: N801 - it takes any event
        def handle_in(self, event: Any, payload: Any, socket: Socket) -> HandleResult:
            return ok([event])

    client = Client(Engine(), {"t": Any_})
    await client.join("t")

    await client.send("1", "2", "t", ["e"], {})

    assert client.received() == [replied("1", "2", "t", [["e"]])]


async def test_a_channel_without_a_client_may_push_in_terminate() -> None:
    """Its join was accepted after the client had gone; nothing is sent, and nothing raised."""
    latches, steps = Latches(), []

    class Late(OpenChannel):
        async def join(self, topic: str, payload: Any, socket: Socket) -> Result:  # type: ignore[override] # async instead of plain
            await latches.at("join")
            return ok()

        def terminate(self, reason: Reason, socket: Socket) -> None:
            socket.push("bye", {})
            steps.append(reason)

    client = Client(Engine(), {"t": Late})
    await client.send("1", "1", "t", "phx_join", {})
    await client.disconnect()

    await latches.open("join")

    assert steps == [("shutdown", "closed")]


async def test_a_message_of_its_own_has_no_answer() -> None:
    """`handle_info` has nobody to answer: a result ends the channel."""

    class Talkative(TalkingChannel):
        def handle_info(self, message: Any, socket: Socket) -> Any:
            return ok()

    client = Client(Engine(), {"t": Talkative})
    await client.join("t")

    await call_in_loop(client.server.channels["t"].send_self, "x")
    await settle()

    assert client.received() == [crashed("1", "t")]
