"""Presence of several nodes against a simple model, whatever happens to their messages.

at any time     a client that has got the state and the diffs has the list of its node, and no
                diff joins what is there already, or lets leave what is not
once it is quiet     all nodes list the same: what their guests have tracked
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from phoenix_compat.cluster import PresenceReplicas
from phoenix_compat.presence import Diff, Guest, Presence
from phoenix_compat.protocol.message import Payload
from tests.unit.cluster.simulated_bus import Network, SimulatedBus
from tests.unit.presence.presence_harness import JsPresence
from tests.unit.protocol.strategies import steady

TOPICS = ("room:a", "room:b")
MOST_NODES = 4

numbers = st.integers(0, 59)
topics = st.sampled_from(TOPICS)
keys = st.sampled_from(["ann", "bob", "eve"])


class Clients:
    """The clients of one node, each of which has joined one topic."""

    def __init__(self) -> None:
        self.views: list[tuple[str, JsPresence]] = []
        self.diffs: list[str] = []

    def local_broadcast(self, topic: str, event: str, payload: Payload) -> None:
        """See Endpoint."""
        self.diffs.append(topic)
        for its_topic, view in self.views:
            if its_topic == topic:
                check_diff(view, payload)
                view.receive(event, payload)


def check_diff(view: JsPresence, diff: Diff) -> None:
    """No join that is known, no leave that is not."""
    known = {meta["phx_ref"] for metas in view.state.values() for meta in metas}
    joined = refs_of(diff["joins"])
    left = refs_of(diff["leaves"])
    assert not known & joined, "a second join"
    assert left <= known, "a leave without a join"
    assert joined or left, "a diff without content"


def refs_of(presences: Any) -> set[str]:
    """The refs of one side of a diff, or of a list; each may be there once."""
    refs = [meta["phx_ref"] for found in presences.values() for meta in found["metas"]]
    assert len(refs) == len(set(refs))
    return set(refs)


class Node:
    """A node with its clients and its guests, and what the guests track: the model."""

    def __init__(self, network: Network, number: int) -> None:
        self.bus = SimulatedBus(network, number)
        self.clients = Clients()
        self.presence = Presence(self.clients, node=number)
        self.replicas = PresenceReplicas(self.presence, self.bus.seam, first_retry_s=0.0)
        self.guests: list[tuple[Guest, str, int]] = []

    def join(self, topic: str) -> None:
        """Let a client join: it gets the state, and diffs from now on."""
        view = JsPresence()
        view.receive("presence_state", self.presence.list(topic))
        self.clients.views.append((topic, view))


class PresenceOfNodes(RuleBasedStateMachine):
    """Nodes start and die, nets split and heal, and messages are lost, late, or arrive twice."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.network = Network()
        self.nodes: dict[int, Node] = {}
        self.count = 0
        self.start()
        self.start()
        self.beat()

    def run(self, act: Callable[[], Awaitable[None] | None]) -> None:
        """Do something in the event loop, and what follows from it."""

        async def run() -> None:
            done = act()
            if done is not None:
                await done
            for _ in range(6):
                await asyncio.sleep(0)

        self.loop.run_until_complete(run())

    def node(self, number: int) -> Node:
        return list(self.nodes.values())[number % len(self.nodes)]

    @property
    def guests(self) -> list[tuple[Node, int]]:
        """All guests: their node, and their place there."""
        return [(node, index) for node in self.nodes.values() for index in range(len(node.guests))]

    # What users do.

    @rule(node=numbers, topic=topics, key=keys)
    def come_and_be_lost(self, node: int, topic: str, key: str) -> None:
        """A guest comes, and the newest message about it is lost."""
        self.track(node, topic, key)
        if self.network.in_flight:
            self.network.in_flight.pop()

    @rule(node=numbers, topic=topics, key=keys)
    def track(self, node: int, topic: str, key: str) -> None:
        """A guest comes."""
        at = self.node(node)
        guest = Guest(topic)
        self.count += 1
        at.guests.append((guest, key, self.count))
        self.run(lambda: void(at.presence.track(guest, key, {"n": self.count})))

    @precondition(lambda self: self.guests)
    @rule(guest=numbers)
    def update(self, guest: int) -> None:
        """A guest changes its meta."""
        at, index = self.guests[guest % len(self.guests)]
        one, key, _ = at.guests[index]
        self.count += 1
        at.guests[index] = (one, key, self.count)
        self.run(lambda: void(at.presence.update(one, key, {"n": self.count})))

    @precondition(lambda self: self.guests)
    @rule(guest=numbers)
    def end(self, guest: int) -> None:
        """A guest goes."""
        at, index = self.guests[guest % len(self.guests)]
        one, _, _ = at.guests.pop(index)
        self.run(one.end)

    @rule(node=numbers, topic=topics)
    def join(self, node: int, topic: str) -> None:
        """A client joins a topic."""
        self.run(lambda: self.node(node).join(topic))

    # What happens to messages.

    @precondition(lambda self: self.network.in_flight)
    @rule(which=numbers)
    def deliver(self, which: int) -> None:
        """One message arrives, perhaps before earlier ones."""
        message = self.network.in_flight.pop(which % len(self.network.in_flight))
        self.run(lambda: self.network.deliver(message))

    @precondition(lambda self: self.network.in_flight)
    @rule(which=numbers)
    def repeat(self, which: int) -> None:
        """One message arrives, and will once more."""
        message = self.network.in_flight[which % len(self.network.in_flight)]
        self.run(lambda: self.network.deliver(message))

    @precondition(lambda self: self.network.in_flight)
    @rule(which=numbers)
    def lose(self, which: int) -> None:
        """One message is lost."""
        self.network.in_flight.pop(which % len(self.network.in_flight))

    @rule()
    def lose_all(self) -> None:
        """All messages are lost, and all calls take too long."""
        self.network.in_flight.clear()
        for number in range(len(self.nodes)):
            self.time_out(number)

    @rule()
    def deliver_all(self) -> None:
        """All messages arrive, in the order in which they were sent, and so do the replies."""
        while self.network.in_flight:
            message = self.network.in_flight.pop(0)
            self.run(lambda message=message: self.network.deliver(message))  # type: ignore[misc]

    @rule()
    def beat(self) -> None:
        """All nodes that can hear each other do."""
        self.run(self.network.heartbeat)

    @rule(node=numbers)
    def time_out(self, node: int) -> None:
        """The calls of a node take too long."""
        self.run(self.node(node).bus.time_out)

    # What happens to nodes.

    @precondition(lambda self: len(self.nodes) < MOST_NODES)
    @rule()
    def start(self) -> None:
        """A node starts, with a number of its own."""
        self.count += 1
        self.run(lambda: self.nodes.update({self.count: Node(self.network, self.count)}))

    @precondition(lambda self: len(self.nodes) > 1)
    @rule(node=numbers)
    def kill(self, node: int) -> None:
        """A node dies; the others do not know it yet."""
        gone = self.node(node)
        del self.nodes[gone.bus.node]
        self.network.kill(gone.bus.node)
        self.run(gone.replicas.close)

    @rule(one=numbers, other=numbers)
    def cut(self, one: int, other: int) -> None:
        """Two nodes cannot hear each other any more, and do not know it yet."""
        pair = frozenset({self.node(one).bus.node, self.node(other).bus.node})
        if len(pair) > 1:
            self.network.cut.add(pair)

    @rule(node=numbers)
    def notice(self, node: int) -> None:
        """A node notices which others it does not hear: one diff for each topic of each."""
        at = self.node(node)
        for lost in self.network.lost(at.bus.node):
            topics_of_lost = set(at.presence._replicas._nodes.get(lost, {}))
            at.clients.diffs.clear()
            self.run(lambda lost=lost: at.bus.lose(lost))  # type: ignore[misc]
            assert sorted(at.clients.diffs) == sorted(topics_of_lost)

    @rule()
    def heal(self) -> None:
        """All nodes can hear each other again."""
        self.network.cut.clear()

    @rule()
    def be_quiet(self) -> None:
        """Nothing is lost any more: all nodes agree, and with the model."""
        self.heal()
        for _ in range(3):
            for number in range(len(self.nodes)):
                self.notice(number)
            self.beat()
            self.deliver_all()
            for number in range(len(self.nodes)):
                self.time_out(number)  # those whose message or reply was lost before
            self.deliver_all()
        for topic in TOPICS:
            expected = sorted(
                (key, meta)
                for node in self.nodes.values()
                for guest, key, meta in node.guests
                if guest.topic == topic
            )
            for node in self.nodes.values():
                assert not node.replicas.background
                listed = node.presence.list(topic)
                assert expected == sorted(
                    (key, meta["n"]) for key, found in listed.items() for meta in found["metas"]
                )

    @invariant()
    def every_client_has_the_list(self) -> None:
        """By the rules of phoenix.js."""
        for node in self.nodes.values():
            for topic, view in node.clients.views:
                listed = node.presence.list(topic)
                assert {
                    key: {meta["phx_ref"] for meta in metas} for key, metas in view.state.items()
                } == {key: refs_of({key: found}) for key, found in listed.items()}

    def teardown(self) -> None:
        """Whatever has happened, nodes agree in the end, and let go of each other."""
        self.be_quiet()
        for node in self.nodes.values():
            self.run(node.replicas.close)
            for guest, _, _ in node.guests:
                self.run(guest.end)
            assert len(node.presence) == 0
        self.loop.close()


def void(_result: object) -> None:
    """Ignore a result."""


@pytest.fixture(autouse=True)
def quiet_log() -> Any:
    """Calls that fail are logged, and here most of them do."""
    logger = logging.getLogger("phoenix_compat.cluster.presence_replicas")
    logger.disabled = True
    yield
    logger.disabled = False


class LongHistories(PresenceOfNodes):
    """The same, for `make test-long`."""


TestPresenceOfNodes = PresenceOfNodes.TestCase
TestPresenceOfNodes.settings = settings(steady, max_examples=100, stateful_step_count=50)
TestLongHistories = pytest.mark.long(LongHistories.TestCase)
TestLongHistories.settings = settings(steady, max_examples=1_000, stateful_step_count=80)
