"""Pending joins: they block their own client, may time out, and may outlive their client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from phoenix_compat import Channel, Limits, Reason, Result, Socket, error, ok, on
from phoenix_compat.errors import EncodeError
from tests.patience import patient
from tests.unit.runtime.harness import (
    Client,
    Engine,
    Latches,
    WaitingChannel,
    call_in_loop,
    closed,
    refused,
    replied,
    settle,
    with_assigns,
)


class SlowJoin(Channel):
    """Waits at the latch "join" and returns its result; records the reason of its end."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.send_self("after_join")
        result: Result = await socket.assigns["latches"].at("join")
        return result

    def handle_info(self, message: Any, socket: Socket) -> None:
        socket.push(message, {})

    @on("e")
    def on_e(self, payload: Any, socket: Socket) -> Result:
        return ok()

    def terminate(self, reason: Reason, socket: Socket) -> None:
        socket.assigns["reasons"].append(reason)


class Harness:
    """A client that has joined `other` and has a pending join of `slow`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.engine = Engine(limits)
        self.latches = Latches()
        self.reasons: list[Reason] = []
        slow = with_assigns(SlowJoin, latches=self.latches, reasons=self.reasons)
        waiting = with_assigns(WaitingChannel, latches=self.latches)
        self.client = Client(self.engine, {"slow": slow, "other": waiting}, id="user:1")

    async def begin(self) -> None:
        """Join both topics; the second join waits."""
        await self.client.join("other", "0")
        await self.client.send("1", "1", "slow", "phx_join", {})


@pytest.fixture
async def harness() -> Harness:
    """A harness with a pending join."""
    harness = Harness()
    await harness.begin()
    return harness


PUSHED: list[Any] = ["1", None, "slow", "after_join", {}]


async def test_a_join_that_waits_holds_up_its_client(harness: Harness) -> None:
    """204: later heartbeats and messages are answered after the join, in order."""
    await harness.client.send(None, "2", "phoenix", "heartbeat", {})
    await harness.client.send("0", "3", "other", "quick", {})
    await harness.client.send("1", "4", "slow", "e", {})
    before = harness.client.received()

    await harness.latches.open("join", ok())

    assert before == []
    assert harness.client.received() == [
        replied("1", "1", "slow"),
        PUSHED,
        replied(None, "2", "phoenix"),
        replied("0", "3", "other", ["quick", "3"]),
        replied("1", "4", "slow"),
    ]


async def test_a_join_that_waits_holds_up_nobody_else(harness: Harness) -> None:
    """Other clients are served."""
    other = Client(harness.engine, {"other": WaitingChannel})

    await other.join("other")

    assert harness.client.received() == []


async def test_nothing_of_the_topic_comes_before_the_answer(harness: Harness) -> None:
    """A broadcast during the join is not delivered; one right after it is."""
    await call_in_loop(harness.engine.broadcast, "slow", "early", {})
    await harness.latches.open("join", ok())
    await call_in_loop(harness.engine.broadcast, "slow", "later", {})

    assert harness.client.received() == [
        replied("1", "1", "slow"),
        PUSHED,
        [None, None, "slow", "later", {}],
    ]


async def test_a_duplicate_join_of_a_join_that_waits(harness: Harness) -> None:
    """Each join gets a reply, in order, and the first channel is closed."""
    await harness.client.send("2", "2", "slow", "phx_join", {})

    await harness.latches.open("join", ok())

    assert harness.client.received() == [
        replied("1", "1", "slow"),
        PUSHED,
        replied("2", "2", "slow"),
        closed("1", "slow"),
        ["2", None, "slow", "after_join", {}],
    ]


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (error(reason="no"), refused("1", "1", "slow", "no")),
        ({"no": "result"}, refused("1", "1", "slow", "join crashed")),
    ],
)
async def test_a_late_refusal(harness: Harness, result: Any, answer: list[Any]) -> None:
    """A refusal after a wait leaves nothing behind, and drops its own messages."""
    await harness.latches.open("join", result)

    assert harness.client.received() == [answer]
    assert len(harness.client.server.channels) == 1
    assert not harness.client.server.is_blocked


async def test_a_join_that_takes_too_long() -> None:
    """A join over the time limit is cancelled and refused; the client continues."""
    harness = Harness(Limits(join_timeout_s=0.001))
    await harness.begin()
    await harness.client.send("0", "3", "other", "quick", {})

    async with asyncio.timeout(patient(5)):
        while harness.client.server.is_blocked:
            await settle()

    assert harness.client.received() == [
        refused("1", "1", "slow", "join crashed"),
        replied("0", "3", "other", ["quick", "3"]),
    ]
    assert harness.engine.counters.joins_timed_out == 1


async def test_a_join_in_time_is_not_late_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer is cancelled after the reply to the join."""
    loop, harness = asyncio.get_running_loop(), Harness()
    timers: list[asyncio.TimerHandle] = []

    def call_later(delay_s: float, callback: Callable[..., object], *args: Any) -> Any:
        timers.append(loop.call_at(loop.time() + delay_s, callback, *args))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", call_later)
    await harness.begin()
    before = [timer.cancelled() for timer in timers]
    await harness.latches.open("join", ok())

    assert (before, [timer.cancelled() for timer in timers]) == ([False], [True])


async def test_the_reply_to_a_late_join_cannot_be_encoded(harness: Harness) -> None:
    """The connection is closed with 1011, and the new channel ends with it."""
    await harness.latches.open("join", ok(object()))

    assert [code for code, _ in harness.client.closes] == [1011]
    assert harness.client.received() == []
    assert len(harness.reasons) == 1


async def test_the_reply_to_a_join_cannot_be_encoded() -> None:
    """The transport gets the error; the new channel ends with the connection."""
    reasons: list[Reason] = []

    class Unwritable(SlowJoin):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:  # type: ignore[override] # plain instead of async
            return ok(object())

    client = Client(Engine(), {"t": with_assigns(Unwritable, reasons=reasons)})

    with pytest.raises(EncodeError):
        await client.send("1", "1", "t", "phx_join", {})
    await client.disconnect()

    assert reasons == [("shutdown", "closed")]


# The client goes meanwhile.


async def test_the_client_disconnects_during_a_join(harness: Harness) -> None:
    """An accepted join without a client is terminated with "closed"; nothing is sent."""
    await harness.client.disconnect()
    before = list(harness.reasons)
    await harness.latches.open("join", ok())

    assert (before, harness.reasons) == ([], [("shutdown", "closed")])
    assert harness.client.received() == []
    assert (len(harness.engine.pubsub), harness.engine.counters.channels_crashed) == (0, 0)


async def test_the_client_disconnects_during_a_refused_join(harness: Harness) -> None:
    """A refused join without a client has nothing to terminate."""
    await harness.client.disconnect()
    await harness.latches.open("join", error())

    assert harness.reasons == []
    assert harness.client.received() == []


async def test_a_disconnect_while_a_join_waits(harness: Harness) -> None:
    """A forced disconnect does not wait for the join; later messages are dropped."""
    await harness.client.send("0", "3", "other", "quick", {})

    await call_in_loop(harness.engine.broadcast, "user:1", "disconnect", {})
    await harness.latches.open("join", ok())

    assert harness.client.closes == [(1001, ("shutdown", "disconnected"))]
    assert harness.client.received() == []
    assert harness.reasons == [("shutdown", "disconnected")]
