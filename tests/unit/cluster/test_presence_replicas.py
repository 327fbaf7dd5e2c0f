"""Presence over the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from phoenix_compat.cluster import Bus, PresenceReplicas, UnixBus
from phoenix_compat.presence import Guest, Presence, Presences
from tests.patience import patient
from tests.unit.cluster.harness import folder
from tests.unit.presence.presence_harness import (
    TOPIC,
    JsPresence,
    RecordingBroadcaster,
    joins,
    leaves,
    one,
)

__all__ = ["folder"]

SIZE = 3


class Node:
    """A presence on the bus, and a client's view of it."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.broadcaster = RecordingBroadcaster()
        self.presence = Presence(self.broadcaster, node=bus.node)
        self.replicas = PresenceReplicas(self.presence, bus)

    def track(self, key: str, **meta: int) -> Guest:
        """Track a guest."""
        guest = Guest(TOPIC)
        self.presence.track(guest, key, meta)
        return guest

    @property
    def listed(self) -> Presences:
        """The presences of the topic, for this node."""
        return self.presence.list(TOPIC)


@asynccontextmanager
async def node(folder: Path, number: int, **options: int) -> AsyncIterator[Node]:
    """One node of a test."""
    async with UnixBus(folder, number, SIZE, **options) as bus:
        yield Node(bus)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(patient(5.0)):
        while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.001)


async def test_each_change_is_broadcast_on_every_node(folder: Path) -> None:
    """Track, update and end: other nodes broadcast the same diffs as the owner's node."""
    async with node(folder, 0) as here, node(folder, 1) as there:
        await until(lambda: bool(here.bus.up and there.bus.up))
        await there.bus.catch_up(patient(10.0))
        ann = here.track("ann", n=1)
        here.presence.update(ann, "ann", {"n": 2})
        ann.end()

        await until(lambda: there.bus.counts.received == 3)

        expected = here.broadcaster.take_diffs()
        assert there.broadcaster.take_diffs() == expected
        assert [set(diff["joins"]) for _, diff in expected] == [{"ann"}, {"ann"}, set()]
        assert there.listed == {}


async def test_a_list_shows_all_nodes(folder: Path) -> None:
    """A key that is present on several nodes has the metas of all, each with its own ref."""
    async with node(folder, 0) as here, node(folder, 1) as there:
        here.track("ann", n=1)
        there.track("ann", n=2)
        there.track("bob", n=3)

        await until(lambda: here.listed == there.listed or len(here.listed["ann"]["metas"]) == 2)
        await until(lambda: there.presence.get_by_key(TOPIC, "ann") is not None)
        await until(lambda: len(there.listed["ann"]["metas"]) == 2)

        for listed in (here.listed, there.listed):
            metas = listed["ann"]["metas"]
            assert {meta["n"] for meta in metas} == {1, 2}
            assert len({meta["phx_ref"] for meta in metas}) == 2
            assert set(listed) == {"ann", "bob"}
        assert len(here.presence) == len(there.presence) == 1


async def test_a_new_node_gets_earlier_presences(folder: Path) -> None:
    """Earlier presences join on a new node, in one diff per topic."""
    async with node(folder, 0) as here:
        here.track("ann")
        here.track("ann")
        here.track("bob")
        await until(lambda: here.broadcaster.count == 3)  # they follow at the end of the turn
        here.broadcaster.take_diffs()

        async with node(folder, 1) as there:
            await until(lambda: there.listed == here.listed)

            assert there.broadcaster.take_diffs() == [(TOPIC, joins(here.listed))]
            assert here.broadcaster.take_diffs() == []


async def test_presences_of_an_ended_node_leave(folder: Path) -> None:
    """Each remaining node broadcasts one diff with all presences that left; the others stay."""
    async with node(folder, 0) as here, node(folder, 2) as third:
        here.track("ann")
        async with node(folder, 1) as there:
            there.track("bob")
            there.track("bob")
            gone = one("bob", *there.listed["bob"]["metas"])
            await until(lambda: here.listed.get("bob") == third.listed.get("bob") == gone["bob"])
            here.broadcaster.take_diffs()
            third.broadcaster.take_diffs()

        await until(lambda: "bob" not in here.listed and "bob" not in third.listed)

        assert (
            here.broadcaster.take_diffs()
            == third.broadcaster.take_diffs()
            == [(TOPIC, leaves(gone))]
        )
        assert set(third.listed) == {"ann"}


async def test_a_gap_is_closed(folder: Path) -> None:
    """Changes that did not fit into the queue are read again, and clients get the true state."""
    async with node(folder, 0, max_queue_bytes=50_000) as here, node(folder, 1) as there:
        await until(lambda: bool(here.bus.up and there.bus.up))
        guests = [here.track(f"guest-{number}", n=number) for number in range(2_000)]
        for guest in guests[10:]:
            guest.end()

        await until(lambda: there.listed == here.listed)

        assert there.bus.counts.gaps > 0
        client = JsPresence()
        client.receive("presence_state", {})
        for _, diff in there.broadcaster.take_diffs():
            client.receive("presence_diff", diff)
        assert client.state == {key: found["metas"] for key, found in here.listed.items()}


async def test_who_has_caught_up_knows_who_is_there(folder: Path) -> None:
    """The presences of a node that answers late are waited for."""
    async with node(folder, 0) as here:
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def answer_late(number: int, body: bytes) -> bytes:
            asked.set()
            await may_answer.wait()
            return await here.replicas._reply_with_state(number, body)

        here.bus.on_call("presence:presence", answer_late)
        here.track("ann")

        async with node(folder, 1) as there:
            waiting = asyncio.create_task(there.bus.catch_up(patient(30.0)))
            await asked.wait()
            assert not waiting.done()
            may_answer.set()

            assert await waiting
            assert set(there.listed) == {"ann"}


async def test_who_waits_for_presences_does_not_wait_for_a_node_that_dies(folder: Path) -> None:
    """It was asked and is gone: there is nothing of it to know."""
    async with AsyncExitStack() as dying:
        here = await dying.enter_async_context(node(folder, 0))
        asked = asyncio.Event()

        async def never(_number: int, _body: bytes) -> bytes:
            asked.set()
            await asyncio.Event().wait()
            return b""

        here.bus.on_call("presence:presence", never)
        async with node(folder, 1) as there:
            waiting = asyncio.create_task(there.bus.catch_up(patient(30.0)))
            await asked.wait()

            await dying.aclose()

            assert await waiting
            assert there.bus.up == frozenset()
