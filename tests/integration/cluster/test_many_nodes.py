"""Twenty small nodes: what remains right when half of them die, and what their messages cost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from phoenix_compat import Endpoint, Guest, Presence
from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.cluster.brokers.messages import kind_of
from phoenix_compat.cluster.sharing import EndpointBus
from phoenix_compat.protocol.message import Broadcast
from tests.patience import patient
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer

NODES = 20
GUESTS = 100
"""Of each node."""
TOPICS = [f"room:{number}" for number in range(10)]
RIGHT_AGAIN_BEATS = 10.0
"""20 s with the usual heartbeat of 2 s."""


class Node:
    """An endpoint on the bus, with its guests, and the diffs that its clients get."""

    def __init__(self, server: MemoryServer, number: int, heartbeat_s: float) -> None:
        self.bus = BrokerBus(MemoryBroker(server), heartbeat_s=heartbeat_s)
        self.endpoint = Endpoint()
        self.presence = Presence(self.endpoint)
        self.shared = EndpointBus(self.bus)
        self.diffs: Counter[str] = Counter()
        self.keys = {f"user-{number}-{guest}" for guest in range(GUESTS)}
        for topic in TOPICS:
            self.endpoint.subscribe(topic, self.hear)
        for place, key in enumerate(sorted(self.keys)):
            topic = TOPICS[place % len(TOPICS)]
            self.presence.track(Guest(topic), key, {"node": number})

    def hear(self, broadcast: Broadcast) -> None:
        """Count a diff."""
        if broadcast.event == "presence_diff":
            self.diffs[broadcast.topic] += 1

    def listed(self) -> set[str]:
        """The keys of all topics."""
        return {key for topic in TOPICS for key in self.presence.metas(topic)}

    def kill(self) -> None:
        """Let it say nothing any more, not even a farewell."""
        for task in self.bus.background:
            task.cancel()


@asynccontextmanager
async def nodes(
    server: MemoryServer, count: int, heartbeat_s: float = 0.2
) -> AsyncIterator[list[Node]]:
    """Nodes that know each other."""
    found = [Node(server, number, heartbeat_s) for number in range(count)]
    try:
        for node in found:
            await node.shared.open(node.endpoint)
        await asyncio.gather(*(node.bus.catch_up(patient(10.0)) for node in found))
        await right(found, 10.0)
        yield found
    finally:
        await asyncio.gather(*(node.shared.close() for node in found))


async def right(alive: list[Node], limit_s: float) -> None:
    """Wait until each of these nodes lists the guests of all of them, and nobody else."""
    expected = set().union(*(node.keys for node in alive))
    async with asyncio.timeout(patient(limit_s)):
        for node in alive:
            while node.listed() != expected:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "heartbeat_s", [0.2, pytest.param(2.0, marks=pytest.mark.long)], ids=["short", "usual"]
)
async def test_half_of_the_nodes_are_killed(heartbeat_s: float) -> None:
    """2 000 presences are right again within ten heartbeats, with one diff per node and topic."""
    async with nodes(MemoryServer(), NODES, heartbeat_s) as found:
        dead, alive = found[::2], found[1::2]
        assert len(alive[0].listed()) == NODES * GUESTS
        for node in alive:
            node.diffs.clear()
        for node in dead:
            node.kill()

        await right(alive, RIGHT_AGAIN_BEATS * heartbeat_s)

        expected = dict.fromkeys(TOPICS, len(dead))
        assert [node.diffs for node in alive] == [expected] * len(alive)
        assert [node.bus.counts.gaps for node in alive] == [0] * len(alive)


async def test_messages_grow_with_nodes_times_broadcasts() -> None:
    """Each broadcast is one message to the broker, however many nodes there are."""
    broadcasts = 25
    published: dict[int, int] = {}
    for count in (5, 10, 20):
        server = MemoryServer()
        kinds: Counter[str] = Counter()

        def is_lost(_subject: str, data: bytes, kinds: Counter[str] = kinds) -> bool:
            kinds[getattr(kind_of(data), "__name__", "?")] += 1
            return False

        async with nodes(server, count) as found:
            server.loses = is_lost
            for node in found:
                for number in range(broadcasts):
                    node.endpoint.broadcast("room:0", "news", {"n": number})
            async with asyncio.timeout(patient(10.0)):
                expected = broadcasts * (count - 1)
                while any(node.bus.counts.received < expected for node in found):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            published[count] = kinds.total() - kinds["Hello"]

    assert published == {count: count * broadcasts for count in (5, 10, 20)}
