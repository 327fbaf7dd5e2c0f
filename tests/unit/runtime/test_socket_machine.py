"""Random conversations of one client, checked against invariants."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phoenix_compat import Channel, HandleResult, Reason, Result, Socket, error, ok, on, stop
from tests.unit.protocol.strategies import steady
from tests.unit.runtime.harness import Client, Engine, call_in_loop, settle

TOPICS = ["room:a", "room:b", "none"]
EVENTS = ["echo", "slow", "tell", "stop", "crash", "crash_later", "phx_leave", "phx_leave"]
JOINS = ["ok", "ok", "ok", "slow", "refuse", "crash"]


class RoomChannel(Channel):
    """Does what the client asks for; all its payloads contain its join_ref."""

    async def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        if payload == "slow":
            await asyncio.sleep(0)
        if payload == "crash":
            raise RuntimeError
        socket.send_self("after_join")
        return error() if payload == "refuse" else ok()

    def handle_info(self, message: Any, socket: Socket) -> None:
        socket.push("push", {"join": socket.join_ref})

    @on("echo")
    def echo(self, payload: Any, socket: Socket) -> HandleResult:
        return ok()

    @on("slow")
    async def slow(self, payload: Any, socket: Socket) -> HandleResult:
        await asyncio.sleep(0)
        socket.push("push", {"join": socket.join_ref})
        return ok()

    @on("tell")
    def tell(self, payload: Any, socket: Socket) -> HandleResult:
        socket.broadcast("broadcast", {"by": socket.join_ref})
        return ok()

    @on("stop")
    def stop(self, payload: Any, socket: Socket) -> HandleResult:
        return stop("normal", ok())

    @on("crash")
    def crash(self, payload: Any, socket: Socket) -> HandleResult:
        raise RuntimeError

    @on("crash_later")
    async def crash_later(self, payload: Any, socket: Socket) -> HandleResult:
        await asyncio.sleep(0)
        raise RuntimeError

    async def terminate(self, reason: Reason, socket: Socket) -> None:
        await asyncio.sleep(0)
        socket.push("terminated", {"join": socket.join_ref})


topics = st.sampled_from(TOPICS)
joins = st.tuples(st.just("join"), topics, st.sampled_from(JOINS))
# How many joins of the topic ago: 0 is the present one, None sends null.
messages = st.tuples(st.sampled_from(EVENTS), topics, st.sampled_from([0, 0, 0, 1, None]))
turns = st.tuples(st.just("turn"), st.just(""), st.just(0))
conversations = st.lists(joins | messages | messages | turns, max_size=25)


class Conversation:
    """The sent and the received messages."""

    def __init__(self) -> None:
        self.client = Client(Engine(), {"room:*": RoomChannel})
        self.joins: dict[str, list[str]] = {topic: [] for topic in TOPICS}
        self.said: dict[str, tuple[str, str | None]] = {}
        self.heard: list[Any] = []

    async def hold(self, steps: list[tuple[str, str, Any]]) -> None:
        """Send and receive everything."""
        for number, (what, topic, detail) in enumerate(steps):
            ref = str(number)
            if what == "turn":
                await settle()
            elif what == "join":
                self.joins[topic].append(ref)
                self.said[ref] = (what, ref)
                await self.client.send(ref, ref, topic, "phx_join", detail)
            else:
                known = [*self.joins[topic], "never"]
                join_ref = None if detail is None else known[max(0, len(known) - 2 - detail)]
                self.said[ref] = (what, join_ref)
                await self.client.send(join_ref, ref, topic, what, {})
            self.heard += self.client.received()
        await settle()
        await settle()
        self.heard += self.client.received()

    def replies(self) -> list[list[Any]]:
        """The received replies."""
        return [message for message in self.heard if message[3] == "phx_reply"]


def check_replies(talk: Conversation) -> None:
    """Each join gets one reply, and no message gets two."""
    answers = Counter(message[1] for message in talk.replies())
    joined = [ref for ref, (what, _) in talk.said.items() if what == "join"]
    assert [answers[ref] for ref in joined] == [1] * len(joined)
    assert set(answers.values()) <= {1}
    assert set(answers) <= set(talk.said)


def check_notices(talk: Conversation) -> None:
    """Each channel is accepted, sends messages, and ends at most once."""
    accepted: set[str] = set()
    ended: Counter[str] = Counter()
    for join_ref, ref, _topic, event, payload in talk.heard:
        if event == "phx_reply" and talk.said[ref][0] == "join" and payload["status"] == "ok":
            accepted.add(ref)
        elif event in {"phx_close", "phx_error"}:
            assert join_ref == ref
            assert join_ref in accepted
            ended[join_ref] += 1
        elif event in {"push", "terminated"}:
            assert join_ref == payload["join"]
            assert join_ref in accepted, "a push before the join was answered"
    assert set(ended.values()) <= {1}


def check_stale_joins(talk: Conversation) -> None:
    """Once a later join is answered, an older channel of its topic says only its farewell.

    And whatever a channel answers was said to it, or to whom it concerned.
    """
    present: dict[str, int] = {}
    for join_ref, ref, topic, event, payload in talk.heard:
        what, meant = talk.said.get(ref, ("", None))
        if event == "phx_reply" and what == "join":
            present[topic] = talk.joins[topic].index(ref)
        elif event == "push":
            assert talk.joins[topic].index(join_ref) == present[topic]
        elif event == "phx_reply" and payload["status"] == "ok" and what != "phx_leave":
            assert meant in {None, join_ref}, "a stale message was handled"
            assert talk.joins[topic].index(join_ref) == present[topic]


@pytest.fixture
def quiet() -> Iterator[None]:
    """Do not print the log lines of expected crashes."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@given(conversations)
@settings(steady, max_examples=300)
@pytest.mark.usefixtures("quiet")
def test_every_conversation(steps: list[tuple[str, str, Any]]) -> None:
    """Joins get one reply, the messages of channels are in order, and the socket survives."""

    async def hold() -> Conversation:
        talk = Conversation()
        await talk.hold(steps)
        await talk.client.send(None, "last", "phoenix", "heartbeat", {})
        assert talk.client.received() == [
            [None, "last", "phoenix", "phx_reply", {"response": {}, "status": "ok"}]
        ]
        return talk

    talk = asyncio.run(hold())

    check_replies(talk)
    check_notices(talk)
    check_stale_joins(talk)


def end(client: Client) -> int:
    """Disconnect the client, and return how many writes it got before."""
    client.server.closed(("shutdown", "closed"))
    return len(client.sink.writes)


@given(conversations, st.integers(0, 25))
@settings(steady, max_examples=200)
@pytest.mark.usefixtures("quiet")
def test_nothing_after_the_end(steps: list[tuple[str, str, Any]], cut: int) -> None:
    """After a disconnect nothing is written, and nothing is left behind."""

    async def hold() -> Conversation:
        talk = Conversation()
        await talk.hold(steps[:cut])
        if steps[cut:]:
            what, topic, _ = steps[cut]
            await talk.client.send("x", "x", topic, "phx_join" if what == "join" else what, "slow")
        writes = await call_in_loop(end, talk.client)
        await settle()
        talk.client.received()  # ends the tick
        assert len(talk.client.sink.writes) == writes
        return talk

    engine = asyncio.run(hold()).client.engine

    assert (len(engine.pubsub), len(engine.spawner)) == (0, 0)
