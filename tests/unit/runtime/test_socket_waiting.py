"""A join that waits: it holds up its own client, may take too long, and may outlive its client."""

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
    Gates,
    WaitingChannel,
    called_back,
    closed,
    refused,
    replied,
    settle,
    with_assigns,
)


class SlowJoin(Channel):
    """Waits at the gate "join", and returns what comes through; notes why it ends."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        socket.send_self("after_join")
        result: Result = await socket.assigns["gates"].at("join")
        return result

    def handle_info(self, message: Any, socket: Socket) -> None:
        socket.push(message, {})

    @on("e")
    def on_e(self, payload: Any, socket: Socket) -> Result:
        return ok()

    def terminate(self, reason: Reason, socket: Socket) -> None:
        socket.assigns["reasons"].append(reason)


class Scene:
    """A client that joined `other`, and whose join of `slow` waits."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.engine = Engine(limits)
        self.gates = Gates()
        self.reasons: list[Reason] = []
        slow = with_assigns(SlowJoin, gates=self.gates, reasons=self.reasons)
        waiting = with_assigns(WaitingChannel, gates=self.gates)
        self.client = Client(self.engine, {"slow": slow, "other": waiting}, id="user:1")

    async def begin(self) -> None:
        """Join both topics; the second join waits."""
        await self.client.join("other", "0")
        await self.client.say("1", "1", "slow", "phx_join", {})


@pytest.fixture
async def scene() -> Scene:
    """A scene whose join waits."""
    scene = Scene()
    await scene.begin()
    return scene


PUSHED: list[Any] = ["1", None, "slow", "after_join", {}]


async def test_a_join_that_waits_holds_up_its_client(scene: Scene) -> None:
    """204: heartbeats and messages for other topics are answered after the join, in order."""
    await scene.client.say(None, "2", "phoenix", "heartbeat", {})
    await scene.client.say("0", "3", "other", "quick", {})
    await scene.client.say("1", "4", "slow", "e", {})
    before = scene.client.hears()

    await scene.gates.open("join", ok())

    assert before == []
    assert scene.client.hears() == [
        replied("1", "1", "slow"),
        PUSHED,
        replied(None, "2", "phoenix"),
        replied("0", "3", "other", ["quick", "3"]),
        replied("1", "4", "slow"),
    ]


async def test_a_join_that_waits_holds_up_nobody_else(scene: Scene) -> None:
    """Other clients are served."""
    other = Client(scene.engine, {"other": WaitingChannel})

    await other.join("other")

    assert scene.client.hears() == []


async def test_nothing_of_the_topic_comes_before_the_answer(scene: Scene) -> None:
    """A broadcast while a join waits is not for it; one right after the join is."""
    await called_back(scene.engine.broadcast, "slow", "early", {})
    await scene.gates.open("join", ok())
    await called_back(scene.engine.broadcast, "slow", "later", {})

    assert scene.client.hears() == [
        replied("1", "1", "slow"),
        PUSHED,
        [None, None, "slow", "later", {}],
    ]


async def test_a_duplicate_join_of_a_join_that_waits(scene: Scene) -> None:
    """Each join is answered, in order, and the first channel is closed."""
    await scene.client.say("2", "2", "slow", "phx_join", {})

    await scene.gates.open("join", ok())

    assert scene.client.hears() == [
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
async def test_a_late_refusal(scene: Scene, result: Any, answer: list[Any]) -> None:
    """A refusal after a wait leaves nothing behind, and what it sent itself is lost."""
    await scene.gates.open("join", result)

    assert scene.client.hears() == [answer]
    assert scene.client.server.joined_topics == 1
    assert not scene.client.server.is_blocked


async def test_a_join_that_takes_too_long() -> None:
    """A join past its limit is cancelled and refused; the client goes on."""
    scene = Scene(Limits(join_timeout_s=0.001))
    await scene.begin()
    await scene.client.say("0", "3", "other", "quick", {})

    async with asyncio.timeout(patient(5)):
        while scene.client.server.is_blocked:
            await settle()

    assert scene.client.hears() == [
        refused("1", "1", "slow", "join crashed"),
        replied("0", "3", "other", ["quick", "3"]),
    ]
    assert scene.engine.counters.joins_timed_out == 1


async def test_a_join_in_time_is_not_late_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer of a join that was answered is cancelled."""
    loop, scene = asyncio.get_running_loop(), Scene()
    timers: list[asyncio.TimerHandle] = []

    def call_later(delay_s: float, callback: Callable[..., object], *args: Any) -> Any:
        timers.append(loop.call_at(loop.time() + delay_s, callback, *args))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", call_later)
    await scene.begin()
    before = [timer.cancelled() for timer in timers]
    await scene.gates.open("join", ok())

    assert (before, [timer.cancelled() for timer in timers]) == ([False], [True])


async def test_the_answer_of_a_late_join_cannot_be_written(scene: Scene) -> None:
    """The connection is closed with 1011, and the channel that just joined ends with it."""
    await scene.gates.open("join", ok(object()))

    assert [code for code, _ in scene.client.closes] == [1011]
    assert scene.client.hears() == []
    assert len(scene.reasons) == 1


async def test_the_answer_of_a_join_cannot_be_written() -> None:
    """The error goes to the transport; the channel that just joined ends with the connection."""
    reasons: list[Reason] = []

    class Unwritable(SlowJoin):
        def join(self, topic: str, payload: Any, socket: Socket) -> Result:  # type: ignore[override] # plain instead of async
            return ok(object())

    client = Client(Engine(), {"t": with_assigns(Unwritable, reasons=reasons)})

    with pytest.raises(EncodeError):
        await client.say("1", "1", "t", "phx_join", {})
    await client.go()

    assert reasons == [("shutdown", "closed")]


# The client goes meanwhile.


async def test_the_client_goes_while_a_join_waits(scene: Scene) -> None:
    """A join that is accepted for nobody is terminated: closed, not crashed; nothing is sent."""
    await scene.client.go()
    before = list(scene.reasons)
    await scene.gates.open("join", ok())

    assert (before, scene.reasons) == ([], [("shutdown", "closed")])
    assert scene.client.hears() == []
    assert (len(scene.engine.pubsub), scene.engine.counters.channels_crashed) == (0, 0)


async def test_the_client_goes_while_a_join_that_is_refused_waits(scene: Scene) -> None:
    """A join that is refused for nobody has nothing to terminate."""
    await scene.client.go()
    await scene.gates.open("join", error())

    assert scene.reasons == []
    assert scene.client.hears() == []


async def test_a_disconnect_while_a_join_waits(scene: Scene) -> None:
    """A forced disconnect does not wait for the join; what the client said next is dropped."""
    await scene.client.say("0", "3", "other", "quick", {})

    await called_back(scene.engine.broadcast, "user:1", "disconnect", {})
    await scene.gates.open("join", ok())

    assert scene.client.closes == [(1001, ("shutdown", "disconnected"))]
    assert scene.client.hears() == []
    assert scene.reasons == [("shutdown", "disconnected")]
