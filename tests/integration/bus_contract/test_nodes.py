"""Nodes that start, end and start again; roles; who has caught up."""

from __future__ import annotations

import asyncio

from tests.integration.bus_contract.engines import Engine
from tests.patience import patient
from tests.unit.cluster.harness import KIND, RecordingListener


async def test_a_node_that_ends_is_down_and_its_successor_is_up(engine: Engine) -> None:
    """All others hear of both; the successor is a new node."""
    async with engine.make() as bus:
        listener = RecordingListener(bus)
        async with engine.make() as first:
            assert await listener.next() == ("up", first.node)
            assert bus.up == {first.node}
        assert await listener.next() == ("down", first.node)
        assert bus.up == frozenset()

        async with engine.make() as second:
            assert await listener.next() == ("up", second.node)
            second.cast(KIND, b"hello")
            assert await listener.next() == (second.node, b"hello")


async def test_a_bus_may_be_opened_again(engine: Engine) -> None:
    """Its casts are numbered anew, which is no gap."""
    async with engine.make() as bus:
        listener = RecordingListener(bus)
        other = engine.make()
        for body in (b"first", b"second"):
            async with other:
                assert await listener.next() == ("up", other.node)
                other.cast(KIND, body)
                assert await listener.next() == (other.node, body)
            assert await listener.next() == ("down", other.node)
        assert bus.counts.gaps == 0


async def test_a_role_is_known_to_all_until_its_node_ends(engine: Engine) -> None:
    """All nodes learn that a role was taken, dropped, or lost with its node; so do new nodes."""
    async with engine.make() as bus:
        listener = RecordingListener(bus)
        async with engine.make() as other:
            assert await listener.next() == ("up", other.node)
            other.take_role("cook")
            assert await listener.next() == ("role", other.node, other.node)
            other.drop_role("cook")
            assert await listener.next() == ("role", other.node, None)
            other.take_role("cook")
            assert await listener.next() == ("role", other.node, other.node)
            async with engine.make() as late:
                late_listener = RecordingListener(late)
                events = await late_listener.next_many(3)
                assert ("role", other.node, other.node) in events
                assert late.holder("cook") == other.node
            assert await listener.next_many(2) == [("up", late.node), ("down", late.node)]
        assert await listener.next_many(2) == [("down", other.node), ("role", other.node, None)]
        bus.take_role("cook")
        assert await listener.next() == ("role", bus.node, bus.node)
        assert bus.holder("cook") == bus.node


async def test_a_late_listener_gets_the_current_state(engine: Engine) -> None:
    """A new listener is called at once for the nodes that are up, and for their roles."""
    async with engine.nodes() as (one, two):
        two.bus.take_role("cook")
        assert await one.next() == ("role", two.bus.node, two.bus.node)

        late = RecordingListener(one.bus)

        assert await late.next_many(2) == [
            ("up", two.bus.node),
            ("role", two.bus.node, two.bus.node),
        ]


async def test_who_has_caught_up_is_heard_by_all_and_hears_all(engine: Engine) -> None:
    """From then on no cast is missed, either way; who is alone does not wait for others."""
    async with engine.make() as bus:
        assert await bus.catch_up(patient(10.0))
        here = RecordingListener(bus)

        async with engine.make() as other:
            assert await other.catch_up(patient(10.0))
            there = RecordingListener(other)
            bus.cast(KIND, b"to the new one")
            other.cast(KIND, b"from the new one")

            assert await there.next_many(2) == [("up", bus.node), (bus.node, b"to the new one")]
            assert await here.next_many(2) == [
                ("up", other.node),
                (other.node, b"from the new one"),
            ]


async def test_the_tasks_of_an_open_bus_run(engine: Engine) -> None:
    """They are reported for `/readyz`, and end with the bus."""
    bus = engine.make()
    async with bus:
        await asyncio.sleep(0)
        running = bus.background
        assert running
        assert all(task.is_running and task.restarts == 0 for task in running)
    assert not any(task.is_running for task in running)
