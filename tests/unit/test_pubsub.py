"""Topics and who hears them: PubSub with fanouts and members of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Broadcast, EncodeError, PubSub


class FakeFanout:
    """Writes what is published into the outboxes' lists, at once."""

    def __init__(self, wire: FakeWire) -> None:
        self._wire = wire
        self._outboxes: dict[FakeMember, None] = {}

    def encode(self, broadcast: Broadcast) -> Any:
        """Count, and refuse what the wire cannot carry."""
        self._wire.encoded += 1
        if broadcast.payload == self._wire.refuses:
            raise EncodeError("no")
        return f"{self._wire.name}:{broadcast.event}"

    def publish(self, packet: Any, exclude: Any, key: object = None) -> None:
        """Write to all but one."""
        for outbox in self._outboxes:
            if outbox is not exclude:
                outbox.received.append(packet)

    def add(self, outbox: Any) -> None:
        """Begin to write to an outbox."""
        self._outboxes[outbox] = None

    def discard(self, outbox: Any) -> None:
        """Write to it no longer."""
        self._outboxes.pop(outbox, None)

    def __len__(self) -> int:
        return len(self._outboxes)


class FakeWire:
    """Counts what is encoded and which fanouts are opened."""

    def __init__(self, name: str, refuses: object = None) -> None:
        self.name = name
        self.refuses = refuses
        self.encoded = 0
        self.opened = 0

    def open_fanout(self) -> FakeFanout:
        """A new fanout."""
        self.opened += 1
        return FakeFanout(self)


class FakeMember:
    """A joined channel that is its own outbox."""

    def __init__(self, wire: FakeWire, *intercepts: str) -> None:
        self.wire = wire
        self.intercepts = frozenset(intercepts)
        self.received: list[Any] = []

    @property
    def outbox(self) -> FakeMember:
        """Where its client's frames go."""
        return self

    def intercept(self, broadcast: Broadcast) -> None:
        """Note the broadcast itself."""
        self.received.append(broadcast)


@pytest.fixture
def pubsub() -> PubSub:
    """No topics yet."""
    return PubSub()


@pytest.fixture
def wire() -> FakeWire:
    """A wire that carries everything."""
    return FakeWire("w")


def joined(pubsub: PubSub, wire: FakeWire, *intercepts: str) -> FakeMember:
    """A member of the topic "t"."""
    member = FakeMember(wire, *intercepts)
    pubsub.join("t", member)
    return member


def test_members_hear_their_topic(pubsub: PubSub, wire: FakeWire) -> None:
    """A broadcast reaches the members of its topic, and is encoded once for all of one wire."""
    members = [joined(pubsub, wire) for _ in range(3)]
    stranger = FakeMember(wire)
    pubsub.join("other", stranger)

    pubsub.broadcast("t", "e", {})

    assert [member.received for member in (*members, stranger)] == [["w:e"], ["w:e"], ["w:e"], []]
    assert (wire.encoded, wire.opened) == (1, 2)


def test_each_wire_has_its_own_bytes(pubsub: PubSub, wire: FakeWire) -> None:
    """Members on another wire get that wire's encoding."""
    one, two = joined(pubsub, wire), joined(pubsub, FakeWire("v"))

    pubsub.broadcast("t", "e", {})

    assert (one.received, two.received) == (["w:e"], ["v:e"])


def test_a_broadcast_may_leave_one_out(pubsub: PubSub, wire: FakeWire) -> None:
    """129: `but` hears nothing, whether it would on the fastlane or by intercepting."""
    sender, filtering, other = (
        joined(pubsub, wire),
        joined(pubsub, wire, "e"),
        joined(pubsub, wire),
    )

    pubsub.broadcast("t", "e", 1, exclude=sender)
    pubsub.broadcast("t", "e", 2, exclude=filtering)

    assert sender.received == ["w:e"]
    assert filtering.received == [Broadcast("t", "e", 1)]
    assert other.received == ["w:e", "w:e"]


def test_intercepted_events_go_to_the_member_only(pubsub: PubSub, wire: FakeWire) -> None:
    """A member that intercepts an event gets the broadcast itself, other events as everybody."""
    member = joined(pubsub, wire, "e")

    pubsub.broadcast("t", "e", {"n": 1})
    pubsub.broadcast("t", "f", {"n": 2})

    assert member.received == [Broadcast("t", "e", {"n": 1}), "w:f"]
    assert wire.encoded == 1


def test_nobody_listens(pubsub: PubSub) -> None:
    """A broadcast that nobody hears has no effect, whatever its payload."""
    pubsub.broadcast("t", "e", object())

    assert len(pubsub) == 0


def test_what_one_wire_cannot_carry_is_heard_by_nobody(pubsub: PubSub, wire: FakeWire) -> None:
    """All is encoded before anything is written or handed on."""
    received: list[Broadcast] = []
    first, filtering = joined(pubsub, wire), joined(pubsub, wire, "e")
    joined(pubsub, FakeWire("v", refuses="x"))
    pubsub.subscribe("t", received.append)

    with pytest.raises(EncodeError):
        pubsub.broadcast("t", "e", "x")

    assert (first.received, filtering.received, received) == ([], [], [])


def test_who_leaves_hears_no_more(pubsub: PubSub, wire: FakeWire) -> None:
    """After `leave` neither fanout nor interception reaches a member; a second time is harmless."""
    plain, filtering, stays = joined(pubsub, wire), joined(pubsub, wire, "e"), joined(pubsub, wire)

    for _ in range(2):
        pubsub.leave("t", plain)
        pubsub.leave("t", filtering)
    pubsub.broadcast("t", "e", {})

    assert (plain.received, filtering.received, stays.received) == ([], [], ["w:e"])


def test_a_topic_exists_while_somebody_listens(pubsub: PubSub, wire: FakeWire) -> None:
    """Topics without members and subscribers are forgotten."""
    plain, filtering = joined(pubsub, wire), joined(pubsub, wire, "e")
    received: list[Broadcast] = []
    pubsub.subscribe("t", received.append)
    sizes = [len(pubsub)]

    pubsub.leave("t", plain)
    pubsub.leave("t", filtering)
    sizes.append(len(pubsub))
    pubsub.unsubscribe("t", received.append)
    sizes.append(len(pubsub))

    assert sizes == [1, 1, 0]


def test_leaving_what_does_not_exist(pubsub: PubSub, wire: FakeWire) -> None:
    """Leaving a topic that nobody joined, or joined otherwise, is harmless."""
    joined(pubsub, wire)

    pubsub.leave("nowhere", FakeMember(wire))
    pubsub.leave("t", FakeMember(FakeWire("v"), "e"))
    pubsub.unsubscribe("nowhere", print)
    pubsub.unsubscribe("t", print)

    assert len(pubsub) == 1


# Plain subscribers.


def test_a_subscriber_gets_the_broadcast(pubsub: PubSub) -> None:
    """A function is called with each broadcast of its topic, once however often it subscribed."""
    received: list[Broadcast] = []
    pubsub.subscribe("t", received.append)
    pubsub.subscribe("t", received.append)

    pubsub.broadcast("t", "e", object)
    pubsub.broadcast("other", "e", {})

    assert received == [Broadcast("t", "e", object)]


class Ear:
    """Has a bound method to subscribe with, a new object each time it is asked for."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def hear(self, broadcast: Broadcast) -> None:
        """Note the event."""
        self.received.append(broadcast.event)


def test_a_broadcast_may_leave_a_subscriber_out(pubsub: PubSub) -> None:
    """130: `but` may be a subscriber; a bound method is the same however often it is taken."""
    one, two = Ear(), Ear()
    pubsub.subscribe("t", one.hear)
    pubsub.subscribe("t", two.hear)

    pubsub.broadcast("t", "e", {}, exclude=one.hear)

    assert (one.received, two.received) == ([], ["e"])


def test_subscribers_may_leave_while_they_are_called(pubsub: PubSub, wire: FakeWire) -> None:
    """A subscriber or member that leaves during a broadcast does not disturb it."""
    received: list[str] = []

    def leave(_broadcast: Broadcast) -> None:
        received.append("first")
        pubsub.unsubscribe("t", leave)

    def stay(_broadcast: Broadcast) -> None:
        received.append("second")

    pubsub.subscribe("t", leave)
    pubsub.subscribe("t", stay)

    pubsub.broadcast("t", "e", {})
    pubsub.broadcast("t", "e", {})

    assert received == ["first", "second", "second"]
    assert wire.encoded == 0
