"""Presences of another node, when messages overtake each other or are lost."""

from __future__ import annotations

import asyncio

from phoenix_compat.cluster import PresenceReplicas
from phoenix_compat.cluster.presence_replicas import MAX_EARLY
from phoenix_compat.presence import Guest, Presence
from tests.unit.cluster.simulated_bus import Network, SimulatedBus
from tests.unit.presence.presence_harness import TOPIC, RecordingBroadcaster


class Node:
    """A presence on a simulated bus."""

    def __init__(self, network: Network, number: int) -> None:
        self.bus = SimulatedBus(network, number)
        self.broadcaster = RecordingBroadcaster()
        self.presence = Presence(self.broadcaster, node=number)
        self.replicas = PresenceReplicas(self.presence, self.bus.seam, first_retry_s=0.0)

    def track(self, *keys: str) -> None:
        """Let guests come."""
        for key in keys:
            self.presence.track(Guest(TOPIC), key, {})

    @property
    def listed(self) -> list[str]:
        """The keys of the topic."""
        return sorted(self.presence.list(TOPIC))

    def heard(self) -> list[tuple[list[str], list[str]]]:
        """The keys that joined and left in each diff since the last call."""
        diffs = self.broadcaster.take_diffs()
        return [(sorted(diff["joins"]), sorted(diff["leaves"])) for _, diff in diffs]


async def turn() -> None:
    """Let tasks do what they can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def arrive(network: Network, *places: int) -> None:
    """Let messages arrive, by their places in the order of sending; () for all, and the replies."""
    await turn()
    for message in [network.in_flight[place] for place in places]:
        network.in_flight.remove(message)
        await network.deliver(message)
        await turn()
    while not places and network.in_flight:
        await network.deliver(network.in_flight.pop(0))
        await turn()


async def two_nodes() -> tuple[Network, Node, Node]:
    """Two nodes that know each other."""
    network = Network()
    here, there = Node(network, 1), Node(network, 2)
    network.heartbeat()
    await arrive(network)
    return network, here, there


async def test_a_change_that_overtakes_another_waits_for_it() -> None:
    """Clients get the changes in the order in which they were made."""
    network, here, there = await two_nodes()
    here.track("ann", "bob")

    await arrive(network, 1)
    early = there.heard()
    await arrive(network, 0)

    assert early == []
    assert there.heard() == [(["ann"], []), (["bob"], [])]


async def test_a_change_that_arrives_twice_is_one() -> None:
    """The second one has no effect, also if the guest has gone meanwhile."""
    network, here, there = await two_nodes()
    guest = Guest(TOPIC)
    here.presence.track(guest, "ann", {})
    await turn()
    again = network.in_flight[0]
    await arrive(network)
    await network.deliver(again)
    guest.end()
    await arrive(network)
    await network.deliver(again)

    assert there.heard() == [(["ann"], []), ([], ["ann"])]


async def test_a_missing_change_is_noticed_by_the_next_one() -> None:
    """Whether the bus has noticed it or not."""
    network, here, there = await two_nodes()
    network.tells_gaps = False
    here.track("ann", "bob")
    await turn()
    network.in_flight.pop(0)

    await arrive(network)

    assert there.listed == ["ann", "bob"]
    assert there.heard() == [(["ann", "bob"], [])]


async def test_a_late_state_does_not_undo_what_came_after_it() -> None:
    """Changes that were cast later may arrive before it. Nobody leaves only to join again."""
    network, here, there = await two_nodes()
    there.replicas.gap(1)
    await turn()
    (asked,) = network.in_flight
    here.track("ann")
    await turn()
    await network.deliver(asked)
    here.track("bob")
    await turn()
    _, ann, state, bob = network.in_flight
    for message in (ann, bob, state):
        await network.deliver(message)
    await turn()

    assert there.listed == ["ann", "bob"]
    assert there.heard() == [(["ann"], []), (["bob"], [])]


async def test_changes_beyond_the_limit_are_read_with_the_state() -> None:
    """A node that casts very many changes before its state arrives costs bounded memory."""
    network = Network()
    here, there = Node(network, 1), Node(network, 2)
    network.heartbeat()
    await turn()
    asked, network.in_flight = network.in_flight, []
    for number in range(MAX_EARLY + 10):
        here.track(f"{number}")
    await arrive(network)
    assert there.listed == []

    network.in_flight = asked
    await arrive(network)

    assert len(there.listed) == MAX_EARLY + 10


async def test_a_node_that_went_unheard_for_a_while() -> None:
    """Its presences leave, and join when it is heard again; those that stayed away do not."""
    network, here, there = await two_nodes()
    guest = Guest(TOPIC)
    here.presence.track(guest, "ann", {})
    here.track("bob")
    await arrive(network)
    there.heard()

    network.cut.add(frozenset({1, 2}))
    there.bus.lose(1)
    alone = there.heard()
    guest.end()
    here.track("eve")
    await turn()
    network.cut.clear()
    network.heartbeat()
    await arrive(network)

    assert alone == [([], ["ann", "bob"])]
    assert there.heard() == [(["bob", "eve"], [])]


async def test_a_closed_one_lists_its_own_node_only() -> None:
    """Clients that stay get the leaves of all others, and later changes go nowhere."""
    network, here, there = await two_nodes()
    here.track("ann")
    there.track("bob")
    await arrive(network)

    there.replicas.close()
    there.track("eve")
    await turn()

    assert there.listed == ["bob", "eve"]
    assert network.in_flight == []


def test_the_same_change_twice() -> None:
    """Presence itself ignores joins that it has, and leaves that it does not have."""
    broadcaster = RecordingBroadcaster()
    presence = Presence(broadcaster)
    ann = {"ann": [{"phx_ref": "1", "n": 1}]}

    for joins, leaves in [(ann, {}), (ann, {}), ({}, {"bob": [{"phx_ref": "2"}]})]:
        presence.merge(7, TOPIC, joins, leaves)

    assert len(broadcaster.take_diffs()) == 1
    assert presence.list(TOPIC) == {"ann": {"metas": [{"phx_ref": "1", "n": 1}]}}
    presence.merge(7, TOPIC, {}, {"ann": [{"phx_ref": "1"}, {"phx_ref": "2"}]})
    assert broadcaster.take_diffs() == [
        (TOPIC, {"joins": {}, "leaves": {"ann": {"metas": [{"phx_ref": "1", "n": 1}]}}})
    ]


async def test_a_state_is_asked_for_again_if_the_call_fails() -> None:
    """Also if nothing else tells that a change is missing."""
    network, here, there = await two_nodes()
    here.track("ann")
    await turn()
    network.in_flight.clear()
    network.heartbeat()
    await turn()
    network.in_flight.clear()
    there.bus.time_out()

    await arrive(network)

    assert there.listed == ["ann"]


async def test_a_node_that_is_down_is_not_asked_any_more() -> None:
    """The call that was waiting for it is not repeated."""
    network, here, there = await two_nodes()
    there.replicas.gap(1)
    await turn()
    network.in_flight.clear()
    there.bus.lose(1)
    await turn()

    assert network.in_flight == []
    assert there.replicas.background == ()
    assert here.listed == []
