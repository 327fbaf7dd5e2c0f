"""Presence over a BrokerBus whose broker loses, delays and disorders messages, and is cut."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from phoenix_compat import Endpoint, Guest, Presence
from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.cluster.sharing import EndpointBus
from phoenix_compat.protocol.message import Broadcast
from tests.patience import patient
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer
from tests.unit.presence.presence_harness import JsPresence

TOPIC = "room:a"
HEARTBEAT_S = 0.05
NODES = 4
STEPS = 120


class Node:
    """An endpoint on the bus, its guests, and a client that has joined."""

    def __init__(self, server: MemoryServer) -> None:
        self.broker = MemoryBroker(server)
        self.endpoint = Endpoint()
        self.presence = Presence(self.endpoint)
        bus = BrokerBus(self.broker, heartbeat_s=HEARTBEAT_S, call_timeout_s=0.3)
        self.shared = EndpointBus(bus)
        self.guests: dict[str, Guest] = {}
        self.view = JsPresence()
        self.view.receive("presence_state", {})
        self.endpoint.subscribe(TOPIC, self.hear)

    def hear(self, broadcast: Broadcast) -> None:
        """Let the client apply a diff, in which nobody joins or leaves twice."""
        known = {meta["phx_ref"] for metas in self.view.state.values() for meta in metas}
        joins, leaves = (
            {
                meta["phx_ref"]
                for found in broadcast.payload[side].values()
                for meta in found["metas"]
            }
            for side in ("joins", "leaves")
        )
        assert not joins & known
        assert leaves <= known
        self.view.receive(broadcast.event, broadcast.payload)

    def listed(self) -> list[str]:
        """The keys of the topic, after the check that the client has the same."""
        listed = self.presence.list(TOPIC)
        assert {key: len(metas) for key, metas in self.view.state.items()} == {
            key: len(found["metas"]) for key, found in listed.items()
        }
        return sorted(listed)


def act(rng: random.Random, node: Node, number: int) -> None:
    """Let a guest come, change or go."""
    action = rng.randrange(3)
    if action == 0 or not node.guests:
        key = f"user-{number}"
        node.guests[key] = Guest(TOPIC)
        node.presence.track(node.guests[key], key, {"n": 0})
    else:
        key = rng.choice(sorted(node.guests))
        if action == 1:
            node.presence.update(node.guests[key], key, {"n": number})
        else:
            node.guests.pop(key).end()


@pytest.mark.parametrize(
    "seed", [1, 2, 3, *(pytest.param(n, marks=pytest.mark.long) for n in range(4, 40))]
)
async def test_nodes_agree_once_it_is_quiet(seed: int) -> None:
    """And at any time a client has the list of its node."""
    rng = random.Random(seed)  # noqa: S311 - the same in each run
    server = MemoryServer()
    nodes = [Node(server) for _ in range(NODES)]
    async with AsyncExitStack() as stack:
        for node in nodes:
            await node.shared.open(node.endpoint)
            stack.push_async_callback(node.shared.close)
        server.loses = lambda _subject, _data: rng.random() < 0.1
        server.delay_s = lambda: rng.choice([0.0, 0.0, 0.0, 0.002, 0.02])
        for number in range(STEPS):
            act(rng, rng.choice(nodes), number)
            for node in nodes:
                node.listed()
            if number % 30 == 10:
                brokers = [node.broker for node in nodes]
                rng.shuffle(brokers)
                server.partition(brokers[:2], brokers[2:])
            elif number % 30 == 25:
                server.partition()
            elif number == STEPS // 2:
                server.stop()
                server.is_up = True
            await asyncio.sleep(rng.choice([0.0, 0.0, 0.02]))

        server.partition()
        server.loses = lambda _subject, _data: False
        server.delay_s = lambda: 0.0
        expected = sorted(key for node in nodes for key in node.guests)
        async with asyncio.timeout(patient(10.0)):
            while [node.listed() for node in nodes] != [expected] * NODES:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert [node.listed() for node in nodes] == [sorted(node.guests) for node in nodes]
