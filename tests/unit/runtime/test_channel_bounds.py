"""The limit of a channel's mailbox, and of the messages that it handles in a row."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import (
    HandleResult,
    Limits,
    Socket,
    ok,
    on,
)
from tests.unit.runtime.harness import (
    Client,
    Engine,
    Latches,
    OpenChannel,
    TalkingChannel,
    WaitingChannel,
    closed,
    crashed,
    refused,
    replied,
    settle,
    with_assigns,
)


async def test_a_full_mailbox_ends_that_channel_only() -> None:
    """Only the channel with too many messages crashes."""
    latches, engine = Latches(), Engine(Limits(max_mailbox_messages=3))
    client = Client(engine, {"room:*": with_assigns(WaitingChannel, latches=latches)})
    await client.join("room:a", "1")
    await client.join("room:b", "2")
    await client.send("1", "x", "room:a", "slow", "x")

    for ref in range(4):
        await client.send("1", ref, "room:a", "quick", {})
    await client.send("2", "y", "room:b", "quick", {})
    await latches.open("x")

    assert client.received() == [
        crashed("1", "room:a"),
        replied("2", "y", "room:b", ["quick", "y"]),
    ]
    assert (engine.counters.mailboxes_overflowed, client.closes) == (1, [])


async def test_a_channel_that_floods_itself_ends_for_good() -> None:
    """A channel that overfills its own mailbox ends and sends nothing more."""
    engine = Engine(Limits(max_mailbox_messages=3))
    client = Client(engine, {"t": TalkingChannel})
    await client.join("t")

    await client.send("1", "2", "t", "send_self", ["a"] * 4)

    assert client.received() == [crashed("1", "t")]
    await client.send("1", "3", "t", "send_self", [])
    assert client.received() == [refused(None, "3", "t", "unmatched topic")]


async def test_a_leave_finds_room() -> None:
    """A client may leave a channel with a full mailbox."""
    latches, engine = Latches(), Engine(Limits(max_mailbox_messages=1))
    client = Client(engine, {"t": with_assigns(WaitingChannel, latches=latches)})
    await client.join("t")
    await client.send("1", "2", "t", "slow", "x")
    await client.send("1", "3", "t", "quick", {})

    await client.send("1", "4", "t", "phx_leave", {})
    await latches.open("x")

    assert client.received() == [
        replied("1", "2", "t", ["slow", None]),
        replied("1", "3", "t", ["quick", "3"]),
        replied("1", "4", "t"),
        closed("1", "t"),
    ]


async def test_leaving_over_and_over_fills_no_memory() -> None:
    """Repeated leaves of a busy channel get one reply, and are not stored."""
    latches, engine = Latches(), Engine(Limits(max_mailbox_messages=3))
    client = Client(engine, {"t": with_assigns(WaitingChannel, latches=latches)})
    await client.join("t")
    await client.send("1", "x", "t", "slow", "x")

    for ref in range(100):
        await client.send("1", ref, "t", "phx_leave", {})
    channel = next(iter(client.server.channels.values()))

    assert len(channel._mailbox or ()) <= 4
    await latches.open("x")
    assert client.received() == [
        replied("1", "x", "t", ["slow", None]),
        replied("1", 0, "t"),
        ["1", "1", "t", "phx_close", {}],
    ]


async def test_a_join_that_floods_itself_has_crashed() -> None:
    """A join that overfills its own mailbox is refused, and leaves nothing behind."""
    engine = Engine(Limits(max_mailbox_messages=3))
    client = Client(engine, {"t": TalkingChannel})

    await client.send("1", "1", "t", "phx_join", {"send_self": ["a"] * 4})

    assert client.received() == [refused("1", "1", "t", "join crashed")]
    assert (len(client.server.channels), len(engine.pubsub)) == (0, 0)


@pytest.mark.parametrize("ending", ["waits", "raises"])
async def test_a_callback_that_floods_its_channel_and_goes_on(ending: str) -> None:
    """After a callback has overfilled its own mailbox, its channel ends only once."""
    cancelled: list[bool] = []

    class Flooding(OpenChannel):
        @on("flood")
        async def flood(self, payload: Any, socket: Socket) -> None:
            for message in range(4):
                socket.send_self(message)
            if payload == "raises":
                raise RuntimeError
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

    engine = Engine(Limits(max_mailbox_messages=3))
    client = Client(engine, {"t": Flooding})
    await client.join("t")

    await client.send("1", "2", "t", "flood", ending)
    await settle()

    assert client.received() == [crashed("1", "t")]
    assert cancelled == [True] * (ending == "waits")
    assert (engine.counters.mailboxes_overflowed, engine.counters.channels_crashed) == (1, 0)


async def test_a_channel_killed_between_two_turns() -> None:
    """A duplicate join drops the rest of a long mailbox."""
    latches = Latches()

    class Interrupted(WaitingChannel):
        @on("quick")
        def quick(self, payload: Any, socket: Socket) -> HandleResult:
            if socket.ref == 0:
                join = b'["2","new","t","phx_join",{}]'
                asyncio.get_running_loop().call_soon(client.take, join, False)
            return ok()

    client = Client(Engine(), {"t": with_assigns(Interrupted, latches=latches)})
    await client.join("t")
    await client.send("1", "x", "t", "slow", "x")
    for ref in range(100):
        await client.send("1", ref, "t", "quick", {})

    await latches.open("x")

    refs = [message[1] for message in client.received()]
    assert refs == ["x", *range(64), "new", "1"]
