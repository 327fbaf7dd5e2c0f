"""BrokerBus over a broker that loses, delays and disorders: casts, calls and long messages."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest

from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.cluster.brokers.messages import VERSION, Cast, Sender
from phoenix_compat.cluster.bus import CallError
from phoenix_compat.errors import ConfigError
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer
from tests.unit.cluster.brokers.memory_nodes import nodes, until
from tests.unit.cluster.harness import KIND


async def test_a_lost_cast_is_a_gap_at_the_next_cast() -> None:
    """Whoever misses one hears of it before the next one."""
    async with nodes() as (one, two):
        server = one.broker.server
        server.loses = lambda _subject, data: b"lost" in data
        one.bus.cast(KIND, b"lost")
        one.bus.cast(KIND, b"heard")

        assert await two.next() == ("gap", one.bus.node)
        assert await two.next() == (one.bus.node, b"heard")
        assert two.bus.counts.gaps == 1


async def test_a_lost_cast_is_a_gap_without_a_later_one() -> None:
    """The next heartbeat says how many there were."""
    async with nodes() as (one, two):
        one.broker.server.loses = lambda _subject, data: b"lost" in data
        one.bus.cast(KIND, b"lost")

        assert await two.next() == ("gap", one.bus.node)


async def test_a_refused_cast_is_dropped_and_a_gap() -> None:
    """A full queue is counted, and the others hear of it."""
    async with nodes() as (one, two):
        one.broker.refuses = True
        one.bus.cast(KIND, b"refused")
        one.broker.refuses = False

        assert await two.next() == ("gap", one.bus.node)
        assert one.bus.counts.dropped == 1


async def test_a_node_does_not_hear_its_own_casts() -> None:
    """They come back from the broker, and are ignored."""
    async with nodes() as (one, two):
        one.bus.cast(KIND, b"hello")

        assert await two.next() == (one.bus.node, b"hello")
        assert one.listener.is_empty
        assert one.bus.counts.received == 0


async def test_a_reply_waits_for_the_casts_before_it() -> None:
    """A broker that disorders: the reply comes after all earlier casts, or they are a gap."""
    server = MemoryServer()
    rng = random.Random(7)  # noqa: S311 - not for secrets
    async with nodes(server=server, heartbeat_s=1.0) as (one, two):
        server.delay_s = lambda: rng.random() * 0.01
        seen: list[Any] = []
        one.bus.on_cast("change", lambda _node, body: seen.append(int(body)))
        state = itertools.count(1)
        last = 0

        async def answer(_node: int, _body: bytes) -> bytes:
            nonlocal last
            for _ in range(3):
                last = next(state)
                two.bus.cast("change", b"%d" % last)
            return b"%d" % last

        two.bus.on_call("state", answer)
        one.listener.bus.listen(one.listener)
        for _ in range(20):
            known = await one.bus.call(two.bus.node, "state", on_reply=int)
            gaps = one.bus.counts.gaps
            assert known in seen or gaps, "the reply has overtaken a cast, and nobody was told"


async def test_a_reply_after_a_lost_cast_comes_with_a_gap() -> None:
    """It is held for a moment, and the gap is reported before it."""
    async with nodes(heartbeat_s=5.0) as (one, two):
        one.broker.server.loses = lambda _subject, data: b"lost" in data

        async def answer(_node: int, _body: bytes) -> bytes:
            two.bus.cast(KIND, b"lost")
            return b"state"

        two.bus.on_call("state", answer)
        events: list[tuple[Any, ...]] = []

        def take(body: bytes) -> bytes:
            if not one.listener.is_empty:
                events.append(one.listener.take())
            return body

        assert await one.bus.call(two.bus.node, "state", on_reply=take) == b"state"
        assert events == [("gap", two.bus.node)]


async def test_long_messages_are_split(caplog: pytest.LogCaptureFixture) -> None:
    """Casts, calls and replies of any length up to the limit arrive whole."""
    async with nodes(max_payload_bytes=1_000, max_message_bytes=100_000) as (one, two):
        body = bytes(range(250)) * 360

        async def echo(_node: int, body: bytes) -> bytes:
            return body[::-1]

        two.bus.on_call("echo", echo)
        one.bus.cast(KIND, body)
        one.bus.cast(KIND, b"short")
        assert await two.next() == (one.bus.node, body)
        assert await two.next() == (one.bus.node, b"short")
        assert await one.bus.call(two.bus.node, "echo", body, on_reply=bytes) == body[::-1]

        one.bus.cast(KIND, body * 2)
        one.bus.cast(KIND, b"after")
        assert await two.next() == ("gap", one.bus.node)
        assert await two.next() == (one.bus.node, b"after")
        with pytest.raises(CallError, match="too long"):
            await one.bus.call(two.bus.node, "echo", body * 2, on_reply=bytes)
    assert not caplog.text


async def test_a_lost_part_loses_the_message() -> None:
    """The rest of it is dropped, which is a gap; the next one arrives."""
    async with nodes(max_payload_bytes=1_000) as (one, two):
        losses = iter([False, True])
        one.broker.server.loses = lambda _subject, data: len(data) > 900 and next(losses, False)
        one.bus.cast(KIND, b"x" * 5_000)
        one.bus.cast(KIND, b"y" * 5_000)

        assert await two.next() == ("gap", one.bus.node)
        assert await two.next() == (one.bus.node, b"y" * 5_000)


async def test_what_is_not_a_message_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Other programs, other versions and cut messages: ignored, and logged once a minute."""
    async with nodes() as (one, two):
        message = Sender(1, 1).pack(Cast(1, KIND, b""))
        other_version = bytes((VERSION + 1,)) + message[1:]
        for data in (b"", b"hello", other_version, message[:-1], message[:1] + b"\xff" * 20):
            one.broker.server.pass_on(one.broker, "phoenix_compat.all", data)

        await until(lambda: two.bus.counts.broken == 5)
        assert caplog.text.count("ignored") == 2  # one line of each node


async def test_too_many_calls_are_refused() -> None:
    """A node answers only so many of one other node at once, and calls only so many."""
    async with nodes(max_calls=2) as (one, two):
        may_answer = asyncio.Event()

        async def answer(_node: int, body: bytes) -> bytes:
            await may_answer.wait()
            return body

        two.bus.on_call("wait", answer)
        calls = [
            asyncio.create_task(one.bus.call(two.bus.node, "wait", on_reply=bytes))
            for _ in range(2)
        ]
        await asyncio.sleep(0)
        with pytest.raises(CallError, match="2 calls are pending"):
            await one.bus.call(two.bus.node, "wait", on_reply=bytes)
        may_answer.set()
        assert await asyncio.gather(*calls) == [b"", b""]


async def test_a_node_that_is_not_up_is_not_called() -> None:
    """The call fails at once."""
    async with nodes() as (one, _):
        with pytest.raises(CallError, match="node 1 is not up"):
            await one.bus.call(1, "what", on_reply=bytes)


async def test_messages_grow_with_the_nodes_and_not_squared() -> None:
    """20 nodes, 50 casts of each: each is published once."""
    server = MemoryServer()
    async with nodes(20, server, heartbeat_s=60.0) as opened:
        before = server.published
        for node in opened:
            for _ in range(50):
                node.bus.cast(KIND, b"x")

        assert server.published - before == 20 * 50
        for node in opened:
            await until(lambda node=node: node.bus.counts.received == 19 * 50)  # type: ignore[misc]


def test_a_wrong_prefix_is_refused() -> None:
    """It would not be a subject of every broker."""
    with pytest.raises(ConfigError, match='write prefix="chat"'):
        BrokerBus(MemoryBroker(MemoryServer()), prefix="a.b")
