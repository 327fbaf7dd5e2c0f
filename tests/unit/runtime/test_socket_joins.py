"""Joins: results of `join`, the channel limit, and duplicate joins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import (
    Channel,
    Limits,
    NotJoinedError,
    Reason,
    Result,
    Socket,
    error,
    ok,
    on,
    reply,
)
from tests.unit.runtime.harness import (
    Client,
    Engine,
    Latches,
    OpenChannel,
    WaitingChannel,
    call_in_loop,
    closed,
    refused,
    replied,
    settle,
    with_assigns,
)


class Deciding(Channel):
    """Joins as its route defines: `decide` is called with the payload and the socket."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Any:
        return socket.assigns["decide"](payload, socket)


class AsyncDeciding(Channel):
    """The same, as a coroutine."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Any:
        return socket.assigns["decide"](payload, socket)


class LateDeciding(Channel):
    """The same, after a wait."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Any:
        await asyncio.sleep(0)
        return socket.assigns["decide"](payload, socket)


WAYS = pytest.mark.parametrize("channel", [Deciding, AsyncDeciding, LateDeciding])


@WAYS
@pytest.mark.parametrize("payload", [{}, None, "x", [1]])
@pytest.mark.parametrize("response", [{}, {"a": 1}, "x", None])
async def test_a_join_that_is_accepted(channel: type[Channel], payload: Any, response: Any) -> None:
    """The payload may be any JSON, and so may the response."""
    routes = {"t": with_assigns(channel, decide=lambda payload, _: ok([payload, response]))}
    client = Client(Engine(), routes)

    await client.send("1", "2", "t", "phx_join", payload)
    await settle()

    assert client.received() == [replied("1", "2", "t", [payload, response])]
    assert len(client.server.channels) == 1


@WAYS
async def test_a_join_that_is_refused(channel: type[Channel]) -> None:
    """A refusal leaves nothing behind; the topic may be tried again at once."""
    answers = iter([error(reason="no"), ok()])
    engine = Engine()
    client = Client(engine, {"t": with_assigns(channel, decide=lambda *_: next(answers))})

    await client.send("1", "1", "t", "phx_join", {})
    await settle()

    assert client.received() == [refused("1", "1", "t", "no")]
    assert (len(client.server.channels), len(engine.pubsub)) == (0, 0)
    await client.send("2", "2", "t", "phx_join", {})
    await settle()
    assert client.received() == [replied("2", "2", "t")]


def fail(_payload: Any, _socket: Socket) -> Any:
    """Raise."""
    raise RuntimeError("secret")


def cancel(_payload: Any, _socket: Socket) -> Any:
    """Raise what looks like a cancellation from outside."""
    raise asyncio.CancelledError


def push(_payload: Any, socket: Socket) -> Any:
    """Push before the reply to the join."""
    socket.push("e", {})
    return ok()


def broadcast(_payload: Any, socket: Socket) -> Any:
    """Broadcast before the reply to the join."""
    socket.broadcast("e", {})
    return ok()


def answer_late(_payload: Any, socket: Socket) -> Any:
    """Call reply_ref before the reply to the join."""
    socket.reply_ref()
    return ok()


CRASHES = [
    fail,
    cancel,
    push,
    broadcast,
    answer_late,
    lambda *_: None,
    lambda *_: {"a": 1},
    lambda *_: True,
    lambda *_: reply("weird"),
]


@WAYS
@pytest.mark.parametrize("decide", CRASHES)
async def test_a_join_that_crashes(channel: type[Channel], decide: Any) -> None:
    """A join that raises, sends or returns an invalid value is refused; nothing is left behind."""
    engine = Engine()
    client = Client(engine, {"t": with_assigns(channel, decide=decide)})

    await client.send("1", "1", "t", "phx_join", {})
    await settle()

    assert client.received() == [refused("1", "1", "t", "join crashed")]
    assert (len(client.server.channels), len(engine.pubsub), client.closes) == (0, 0, [])
    assert engine.counters.channels_crashed == 1


async def test_a_channel_that_cannot_be_made() -> None:
    """If the constructor of a channel raises, the join has crashed."""

    class Unmade(OpenChannel):
        def __init__(self) -> None:
            raise RuntimeError("no")

    client = Client(Engine(), {"t": Unmade})

    await client.send("1", "1", "t", "phx_join", {})

    assert client.received() == [refused("1", "1", "t", "join crashed")]


async def test_the_error_of_an_early_push_says_what_to_do() -> None:
    """The error of a push inside `join` says what to do instead."""
    errors: list[NotJoinedError] = []

    def decide(_payload: Any, socket: Socket) -> Result:
        with pytest.raises(NotJoinedError) as raised:
            socket.push("e", {})
        errors.append(raised.value)
        return ok(joined=socket.joined)

    client = Client(Engine(), {"t": with_assigns(Deciding, decide=decide)})
    await client.send("1", "1", "t", "phx_join", {})

    assert client.received() == [replied("1", "1", "t", {"joined": False})]
    assert 'send_self("after_join")' in str(errors[0])
    assert errors[0].topic == "t"


async def test_assigns() -> None:
    """195: a channel has its own copy of the socket's assigns, updated with those of its route."""
    seen: list[dict[str, Any]] = []

    def decide(_payload: Any, socket: Socket) -> Result:
        seen.append(dict(socket.assigns))
        socket.assign(a="changed", c=3)
        return ok()

    routes = {"*": (Deciding, {"decide": decide, "a": "route"})}
    client = Client(Engine(), routes)
    client.server.socket.assign({"a": "socket", "b": 2})

    await client.join("x")
    await client.join("y")

    expected = {"a": "route", "b": 2, "decide": decide}
    assert seen == [expected, expected]
    assert client.server.socket.assigns == {"a": "socket", "b": 2}


# Too many.


async def test_too_many_channels() -> None:
    """3, 4: a join over the limit is refused; a leave frees a place; the socket stays open."""
    client = Client(Engine(Limits(max_channels_per_transport=2)), {"*": OpenChannel})
    await client.join("a", "1")
    await client.join("b", "2")

    await client.send("3", "3", "c", "phx_join", {})
    await client.send("1", "4", "a", "phx_leave", {})
    heard = client.received()

    assert heard[0] == refused("3", "3", "c", "too many channels joined")
    assert client.closes == []
    await client.join("c", "5")


async def test_a_duplicate_join_at_the_limit() -> None:
    """220: a duplicate join takes the place of the old channel."""
    client = Client(Engine(Limits(max_channels_per_transport=1)), {"*": OpenChannel})
    await client.join("a")

    await client.send("2", "2", "a", "phx_join", {})

    assert client.received() == [replied("2", "2", "a"), closed("1", "a")]


# Duplicate joins.


class Numbered(OpenChannel):
    """Accepts unless the payload is `refuse`, `crash` or `wait`; pushes after the join."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:  # type: ignore[override] # async instead of plain
        if payload == "crash":
            raise RuntimeError
        if payload == "wait":
            await asyncio.sleep(0)
        socket.send_self("after_join")
        return error() if payload == "refuse" else ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        socket.push("after_join", {})


@pytest.mark.parametrize("payload", [{}, "wait"])
async def test_the_order_of_a_duplicate_join(payload: Any) -> None:
    """201: the new reply, then the old phx_close, then the new channel's pushes."""
    client = Client(Engine(), {"t": Numbered})
    await client.send("a", "1", "t", "phx_join", {})
    client.received()

    await client.send("b", "2", "t", "phx_join", payload)
    await settle()

    assert client.received() == [
        replied("b", "2", "t"),
        closed("a", "t"),
        ["b", None, "t", "after_join", {}],
    ]


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        ("refuse", replied("b", "2", "t", {}, "error")),
        ("crash", refused("b", "2", "t", "join crashed")),
    ],
)
async def test_a_duplicate_join_that_fails(payload: Any, answer: list[Any]) -> None:
    """The old channel still ends, and its phx_close follows the refusal."""
    client = Client(Engine(), {"t": Numbered})
    await client.send("a", "1", "t", "phx_join", {})
    client.received()

    await client.send("b", "2", "t", "phx_join", payload)

    assert client.received() == [answer, closed("a", "t")]
    assert len(client.server.channels) == 0


async def test_the_old_join_ref_is_stale_after_a_duplicate_join() -> None:
    """Messages of the old join are dropped."""
    client = Client(Engine(), {"t": WaitingChannel})
    await client.join("t", "a")
    await client.send("b", "b", "t", "phx_join", {})
    client.received()

    await client.send("a", "3", "t", "quick", {})
    await client.send("b", "4", "t", "quick", {})

    assert client.received() == [replied("b", "4", "t", ["quick", "4"])]


async def test_a_channel_that_just_crashed_may_be_joined_over() -> None:
    """A join while a crashed channel terminates gets a phx_close for the old one."""
    latches = Latches()

    class Slow(OpenChannel):
        @on("crash")
        def crash(self, payload: Any, socket: Socket) -> None:
            raise RuntimeError

        async def terminate(self, reason: Reason, socket: Socket) -> None:
            await latches.at("terminate")

    client = Client(Engine(), {"t": Slow})
    await client.join("t")
    await client.send("1", "2", "t", "crash", {})

    await client.send("3", "3", "t", "phx_join", {})
    await latches.open("terminate")
    await call_in_loop(client.engine.broadcast, "t", "news", {})

    assert client.received() == [
        replied("3", "3", "t"),
        closed("1", "t"),
        [None, None, "t", "news", {}],
    ]
