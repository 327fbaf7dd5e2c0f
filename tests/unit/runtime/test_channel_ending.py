"""The end of channels: what the client gets, when `terminate` runs, and with which reason."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from phoenix_compat import HandleResult, Reason, Result, Socket, Stop, error, ok, on, stop
from tests.unit.runtime.harness import (
    Client,
    Engine,
    Latches,
    OpenChannel,
    call_in_loop,
    closed,
    crashed,
    refused,
    replied,
    settle,
    with_assigns,
)


class EndingChannel(OpenChannel):
    """Ends as the test wants: `act` of its route is called with the socket.

    Attributes:
        reasons: an assign of its route, where `terminate` notes its reason.
    """

    intercept = ("out",)

    async def handle_in(self, event: str, payload: Any, socket: Socket) -> HandleResult:
        result: HandleResult = socket.assigns["act"](socket)
        return result

    def handle_info(self, message: Any, socket: Socket) -> Stop | None:
        result: Stop | None = socket.assigns["act"](socket)
        return result

    def handle_out(self, event: str, payload: Any, socket: Socket) -> Stop | None:
        return self.handle_info(event, socket)

    @on("info")
    def info(self, payload: Any, socket: Socket) -> None:
        socket.send_self("act")

    @on("out")
    def out(self, payload: Any, socket: Socket) -> None:
        socket.broadcast("out", {})

    @on("wait")
    async def wait(self, payload: Any, socket: Socket) -> HandleResult:
        await socket.assigns["latches"].at("wait")
        return ok()

    async def terminate(self, reason: Reason, socket: Socket) -> None:
        socket.assigns["reasons"].append(reason)
        socket.push("terminated", {})


class Harness:
    """One client on one EndingChannel."""

    def __init__(self, act: Any = None) -> None:
        self.engine = Engine()
        self.latches = Latches()
        self.reasons: list[Reason] = []
        route = with_assigns(EndingChannel, act=act, latches=self.latches, reasons=self.reasons)
        self.client = Client(self.engine, {"t": route, "other": OpenChannel})

    async def send(self, event: str, ref: str = "2") -> list[Any]:
        """Send a message, and return the received frames."""
        await self.client.send("1", ref, "t", event, {})
        await settle()
        return self.client.received()


TERMINATED: list[Any] = ["1", None, "t", "terminated", {}]

GRACEFUL: list[Reason] = ["normal", "shutdown", ("shutdown", "bye"), ("shutdown", {"a": 1})]
OTHERWISE: list[Reason] = ["something broke", ("other", 1), RuntimeError("no"), ""]


@pytest.mark.parametrize("event", ["e", "info", "out"])
@pytest.mark.parametrize("reason", GRACEFUL, ids=repr)
async def test_a_graceful_stop(event: str, reason: Reason) -> None:
    """169, 181, 182: the pushes of terminate follow phx_close; the topic is free."""
    harness = Harness(lambda _: stop(reason))
    await harness.client.join("t")

    heard = await harness.send(event)

    assert heard == [closed("1", "t"), TERMINATED]
    assert harness.reasons == [reason]
    assert await harness.send("e", "3") == [refused(None, "3", "t", "unmatched topic")]
    assert harness.engine.counters.channels_crashed == 0


@pytest.mark.parametrize("event", ["e", "info", "out"])
@pytest.mark.parametrize("reason", OTHERWISE, ids=repr)
async def test_any_other_stop(event: str, reason: Reason) -> None:
    """terminate runs first, then phx_error is sent, which never contains the reason."""
    harness = Harness(lambda _: stop(reason))
    await harness.client.join("t")

    heard = await harness.send(event)

    assert heard == [TERMINATED, crashed("1", "t")]
    assert harness.reasons == [reason]
    assert await harness.send("e", "3") == [refused(None, "3", "t", "unmatched topic")]
    assert harness.engine.counters.channels_crashed == 1


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("shutdown", [closed("1", "t"), TERMINATED]),
        ("broke", [TERMINATED, crashed("1", "t")]),
    ],
)
@pytest.mark.parametrize("answer", [ok({"bye": 1}), error({"bye": 1})])
async def test_a_stop_with_an_answer(reason: Reason, ending: list[Any], answer: Result) -> None:
    """170: the reply comes before the end."""
    harness = Harness(lambda _: stop(reason, answer))
    await harness.client.join("t")

    heard = await harness.send("e")

    assert heard == [replied("1", "2", "t", {"bye": 1}, answer.status), *ending]


class BrokenError(Exception):
    """An error of user code."""


@pytest.mark.parametrize("event", ["e", "info", "out"])
@pytest.mark.parametrize(
    "raised", [BrokenError("secret"), asyncio.CancelledError("mine")], ids=repr
)
async def test_a_callback_that_raises(
    event: str, raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """168: the channel ends with phx_error and a log of the error; the socket continues."""

    def act(_socket: Socket) -> None:
        raise raised

    harness = Harness(act)
    await harness.client.join("t")
    await harness.client.join("other", "9")

    heard = await harness.send(event)

    assert heard == [TERMINATED, crashed("1", "t")]
    assert harness.reasons == [raised]
    assert len(harness.client.server.channels) == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_callback_that_waited_and_is_cancelled() -> None:
    """If a callback's own await is cancelled, only its channel ends."""
    harness = Harness()
    await harness.client.join("t")
    await harness.client.send("1", "2", "t", "wait", {})

    harness.latches.at("wait").cancel()
    await settle()

    assert harness.client.received() == [TERMINATED, crashed("1", "t")]


async def test_a_crash_loses_what_waited() -> None:
    """The messages after the crash are lost; the topic may be joined again."""
    harness = Harness()
    await harness.client.join("t")
    await harness.client.send("1", "2", "t", "wait", {})
    await harness.client.send("1", "3", "t", "wait", {})

    harness.latches.at("wait").set_exception(BrokenError())
    await settle()

    assert harness.client.received() == [TERMINATED, crashed("1", "t")]
    await harness.client.join("t", "4")


async def test_leaving() -> None:
    """187: first the reply, then phx_close, then the pushes of terminate; other topics stay."""
    harness = Harness()
    await harness.client.join("t")
    await harness.client.join("other", "9")

    heard = await harness.send("phx_leave")

    assert heard == [replied("1", "2", "t"), closed("1", "t"), TERMINATED]
    assert harness.reasons == [("shutdown", "left")]
    assert len(harness.client.server.channels) == 1


async def test_leaving_a_busy_channel() -> None:
    """Earlier messages are answered before the leave, and later ones are lost."""
    harness = Harness()
    await harness.client.join("t")
    before = await harness.send("wait")
    before += await harness.send("phx_leave", "3")
    before += await harness.send("info", "4")

    await harness.latches.open("wait")

    assert before == []
    assert harness.client.received() == [
        replied("1", "2", "t"),
        replied("1", "3", "t"),
        closed("1", "t"),
        TERMINATED,
    ]


async def test_the_client_disconnects() -> None:
    """188: every channel ends with ("shutdown", "closed"), and nothing is sent."""
    harness = Harness()
    await harness.client.join("t")

    await harness.client.disconnect()
    await harness.client.disconnect()

    assert harness.client.received() == []
    assert harness.reasons == [("shutdown", "closed")]
    assert len(harness.engine.pubsub) == 0
    assert harness.engine.counters.sockets_closed == 1


async def test_the_client_disconnects_while_a_callback_waits() -> None:
    """The running callback may finish; then terminate runs."""
    harness = Harness()
    await harness.client.join("t")
    await harness.send("wait")

    await harness.client.disconnect()
    before = list(harness.reasons)
    await harness.latches.open("wait")

    assert (before, harness.reasons) == ([], [("shutdown", "closed")])


class Failing(OpenChannel):
    """A channel whose `terminate` fails as its route defines."""

    def terminate(self, reason: Reason, socket: Socket) -> Any:
        return socket.assigns["fail"]()

    @on("crash")
    def crash(self, payload: Any, socket: Socket) -> HandleResult:
        raise BrokenError


async def raise_later() -> None:
    """Raise after a wait."""
    await asyncio.sleep(0)
    raise BrokenError


async def raise_soon() -> None:
    """Raise before the first wait."""
    raise BrokenError


async def cancel_later() -> None:
    """Raise CancelledError after a wait."""
    await asyncio.sleep(0)
    raise asyncio.CancelledError


def raise_at_once() -> None:
    """Raise in a plain function."""
    raise BrokenError


FAILURES = [raise_at_once, raise_soon, raise_later, cancel_later, lambda: "no awaitable"]


@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize(
    ("event", "expected"),
    [("phx_leave", [replied("1", "2", "t"), closed("1", "t")]), ("crash", [crashed("1", "t")])],
)
async def test_terminate_may_fail(event: str, expected: list[Any], fail: Any) -> None:
    """An error in terminate changes nothing for the client."""
    client = Client(Engine(), {"t": with_assigns(Failing, fail=fail)})
    await client.join("t")

    await client.send("1", "2", "t", event, {})
    await settle()

    assert client.received() == expected
    await client.join("t", "3")


async def test_terminate_may_wait() -> None:
    """While terminate waits, the topic is free after a leave, but not after a crash."""
    latches = Latches()
    client = Client(
        Engine(), {"room:*": with_assigns(Failing, fail=lambda: latches.at("terminate"))}
    )
    await client.join("room:a")
    await client.join("room:b", "2")

    await client.send("1", "3", "room:a", "phx_leave", {})
    await client.send("2", "4", "room:b", "crash", {})
    await client.send("2", "5", "room:b", "crash", {})

    assert client.received() == [replied("1", "3", "room:a"), closed("1", "room:a")]
    await latches.open("terminate")
    assert client.received() == [crashed("2", "room:b")]


# Killed by a duplicate join.


async def test_a_killed_callback_is_cancelled_and_its_answer_is_lost() -> None:
    """The waiting callback is cancelled; neither it nor terminate sends anything."""
    latches, cancelled = Latches(), []

    class Stubborn(OpenChannel):
        @on("e")
        async def on_e(self, payload: Any, socket: Socket) -> HandleResult:
            try:
                await latches.at("e")
            except asyncio.CancelledError:
                cancelled.append(socket.join_ref)
            socket.push("too late", {})
            return ok()

        def terminate(self, reason: Reason, socket: Socket) -> None:
            cancelled.append("terminated")

    client = Client(Engine(), {"t": Stubborn})
    await client.join("t")
    await client.send("1", "2", "t", "e", {})
    await client.send("1", "3", "t", "e", {})

    await client.send("4", "4", "t", "phx_join", {})
    await settle()

    assert client.received() == [replied("4", "4", "t"), closed("1", "t")]
    assert cancelled == ["1"]


async def test_a_killed_channel_takes_no_broadcasts() -> None:
    """After a duplicate join the client gets each broadcast once."""
    engine = Engine()
    client = Client(engine, {"t": OpenChannel})
    await client.join("t")
    await client.send("2", "2", "t", "phx_join", {})
    client.received()

    await call_in_loop(engine.broadcast, "t", "news", {})

    assert client.received() == [[None, None, "t", "news", {}]]


async def test_a_killed_callback_that_fails_has_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error in the cleanup of a killed callback has no effect."""
    latches = Latches()

    class Untidy(OpenChannel):
        @on("e")
        async def on_e(self, payload: Any, socket: Socket) -> None:
            try:
                await latches.at("e")
            finally:
                raise BrokenError

    client = Client(Engine(), {"t": Untidy})
    await client.join("t")
    await client.send("1", "2", "t", "e", {})
    await client.send("3", "3", "t", "phx_join", {})
    await settle()

    assert client.received() == [replied("3", "3", "t"), closed("1", "t")]
    assert "never retrieved" not in caplog.text
