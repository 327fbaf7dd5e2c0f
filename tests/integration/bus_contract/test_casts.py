"""Casts: in order, to all others, of any length; what is missing is a gap."""

from __future__ import annotations

import asyncio

from tests.integration.bus_contract.engines import Engine
from tests.patience import patient
from tests.unit.cluster.harness import KIND

MEBIBYTE = 2**20


async def test_casts_reach_all_others_in_order(engine: Engine) -> None:
    """Each other node gets every cast once and in order; the sender gets none."""
    async with engine.nodes(3) as (one, two, three):
        for number in range(500):
            one.bus.cast(KIND, b"%d" % number)

        expected = [(one.bus.node, b"%d" % number) for number in range(500)]
        assert await two.next_many(500) == expected
        assert await three.next_many(500) == expected
        assert one.is_empty
        assert one.bus.counts.casts == two.bus.counts.received == 500
        assert one.bus.counts.received == two.bus.counts.gaps == 0


async def test_the_order_of_each_node_is_kept(engine: Engine) -> None:
    """Two nodes that cast at once: each one's casts arrive in order."""
    async with engine.nodes(3) as (one, two, three):
        for number in range(100):
            one.bus.cast(KIND, b"%d" % number)
            two.bus.cast(KIND, b"%d" % number)
            await asyncio.sleep(0)

        heard = await three.next_many(200)
        for node in (one.bus.node, two.bus.node):
            assert [int(body) for of, body in heard if of == node] == list(range(100))


async def test_casts_of_any_length_arrive(engine: Engine) -> None:
    """Nothing, all bytes, and more than any broker takes at once."""
    async with engine.nodes(heartbeat_s=0.5) as (one, two):
        bodies = [b"", bytes(range(256)), b"x" * 10_000, bytes(range(256)) * 4096 * 3, b"last"]
        for body in bodies:
            one.bus.cast(KIND, body)

        for body in bodies:
            _, heard = await two.next()
            assert heard == body


async def test_a_cast_that_is_too_long_is_a_gap(engine: Engine) -> None:
    """It is dropped and counted, and later casts arrive."""
    async with engine.nodes(heartbeat_s=0.5) as (one, two):
        one.bus.cast(KIND, b"x" * 17 * MEBIBYTE)
        one.bus.cast(KIND, b"short")

        assert await two.next_many(2) == [("gap", one.bus.node), (one.bus.node, b"short")]
        assert one.bus.counts.dropped >= 1
        assert two.bus.counts.gaps == 1


async def test_a_flood_is_a_gap_and_casts_go_on(engine: Engine) -> None:
    """More than the queue takes: what is dropped is counted, and is a gap."""
    async with engine.nodes(heartbeat_s=0.5) as (one, two):  # it takes longer than usual ones
        for _ in range(40):  # in one tick: nothing can be sent meanwhile
            one.bus.cast(KIND, b"x" * MEBIBYTE)

        heard = [await two.next()]
        while heard[-1] != ("gap", one.bus.node):
            heard.append(await two.next())
        if engine.has_broker:
            assert len(heard) - 1 + one.bus.counts.dropped == 40
        assert one.bus.counts.dropped > 0
        one.bus.cast(KIND, b"later")
        assert await two.next() == (one.bus.node, b"later")


async def test_a_cast_without_a_handler_is_ignored(engine: Engine) -> None:
    """The other kinds are not affected, nor by a handler that fails."""
    async with engine.nodes() as (one, two):

        def fail(_node: int, _body: bytes) -> None:
            raise ZeroDivisionError

        two.bus.on_cast("bad", fail)
        one.bus.cast("unknown", b"")
        one.bus.cast("bad", b"")
        one.bus.cast(KIND, b"good")

        assert await two.next() == (one.bus.node, b"good")


async def test_an_idle_bus_has_no_gaps(engine: Engine) -> None:
    """Heartbeats say how many casts there were; none is missing."""
    async with engine.nodes() as (one, two):
        one.bus.cast(KIND, b"x")
        await two.next()
        await asyncio.sleep(0.5)

        assert one.is_empty
        assert two.is_empty
        assert not one.bus.is_deaf
        assert one.bus.counts.deaf == one.bus.counts.broken == one.bus.counts.gaps == 0


async def test_a_cast_before_the_bus_is_open_is_dropped(engine: Engine) -> None:
    """It reaches nobody and raises nothing, and is no gap for those who come later."""
    bus, other = engine.make(), engine.make()
    bus.cast(KIND, b"too early")
    async with bus, other:
        async with asyncio.timeout(patient(10.0)):
            while not (bus.up and other.up):  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.005)
        assert other.counts.gaps == 0
