"""PubSub, with fake fanouts and members."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Broadcast, EncodeError, PubSub


class FakeFanout:
    """Writes published packets into the lists of its outboxes, at once."""

    def __init__(self, wire: FakeWire) -> None:
        self._wire = wire
        self._outboxes: dict[FakeMember, None] = {}

    def encode(self, broadcast: Broadcast) -> Any:
        """Count, and refuse one payload."""
        self._wire.encoded += 1
        if broadcast.payload == self._wire.refuses:
            raise EncodeError("no")
        return f"{self._wire.name}:{broadcast.event}"

    def publish(self, packet: Any, exclude: Any, key: object = None) -> None:
        """Write to all except one."""
        for outbox in self._outboxes:
            if outbox is not exclude:
                outbox.received.append(packet)

    def is_only(self, outbox: Any) -> bool:
        """Whether there is no other outbox."""
        return [*self._outboxes] == [outbox]

    def add(self, outbox: Any) -> None:
        """Add an outbox."""
        self._outboxes[outbox] = None

    def discard(self, outbox: Any) -> None:
        """Remove an outbox."""
        self._outboxes.pop(outbox, None)

    def __len__(self) -> int:
        return len(self._outboxes)


class FakeWire:
    """Counts encoded broadcasts and opened fanouts."""

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

    def __init__(self, wire: FakeWire, *intercepts: str, audience: str = "") -> None:
        self.wire = wire
        self.audience = audience
        self.intercepts = frozenset(intercepts)
        self.received: list[Any] = []

    @property
    def outbox(self) -> FakeMember:
        """The client's outbox."""
        return self

    def intercept(self, broadcast: Broadcast) -> None:
        """Record the broadcast itself."""
        self.received.append(broadcast)


@pytest.fixture
def pubsub() -> PubSub:
    """No topics yet."""
    return PubSub()


@pytest.fixture
def wire() -> FakeWire:
    """A wire that accepts every payload."""
    return FakeWire("w")


def joined(pubsub: PubSub, wire: FakeWire, *intercepts: str) -> FakeMember:
    """A member of the topic "t"."""
    member = FakeMember(wire, *intercepts)
    pubsub.join("t", member)
    return member


def test_members_get_the_broadcasts_of_their_topic(pubsub: PubSub, wire: FakeWire) -> None:
    """A broadcast reaches the members of its topic, and is encoded once per wire."""
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


def test_what_nobody_gets_is_not_encoded(pubsub: PubSub) -> None:
    """B12: a payload that cannot be encoded is an error only if somebody else would get it."""
    picky = FakeWire("p", refuses=7)
    sender = joined(pubsub, picky)

    pubsub.broadcast("t", "e", 7, exclude=sender)
    other = joined(pubsub, picky)

    with pytest.raises(EncodeError):
        pubsub.broadcast("t", "e", 7, exclude=sender)
    assert (sender.received, other.received) == ([], [])


def test_a_broadcast_may_leave_one_out(pubsub: PubSub, wire: FakeWire) -> None:
    """129: the excluded member gets nothing, neither by the fastlane nor by interception."""
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
    """A member gets intercepted broadcasts itself; other events go to its client."""
    member = joined(pubsub, wire, "e")

    pubsub.broadcast("t", "e", {"n": 1})
    pubsub.broadcast("t", "f", {"n": 2})

    assert member.received == [Broadcast("t", "e", {"n": 1}), "w:f"]
    assert wire.encoded == 1


def test_a_broadcast_without_subscribers(pubsub: PubSub) -> None:
    """A broadcast without subscribers has no effect, whatever its payload."""
    pubsub.broadcast("t", "e", object())

    assert len(pubsub) == 0


def test_an_encode_error_stops_the_whole_broadcast(pubsub: PubSub, wire: FakeWire) -> None:
    """Everything is encoded before anything is written."""
    received: list[Broadcast] = []
    first, filtering = joined(pubsub, wire), joined(pubsub, wire, "e")
    joined(pubsub, FakeWire("v", refuses="x"))
    pubsub.subscribe("t", received.append)

    with pytest.raises(EncodeError):
        pubsub.broadcast("t", "e", "x")

    assert (first.received, filtering.received, received) == ([], [], [])


def test_a_member_that_left_gets_nothing(pubsub: PubSub, wire: FakeWire) -> None:
    """After `leave` a member gets nothing; a second `leave` is harmless."""
    plain, filtering, stays = joined(pubsub, wire), joined(pubsub, wire, "e"), joined(pubsub, wire)

    for _ in range(2):
        pubsub.leave("t", plain)
        pubsub.leave("t", filtering)
    pubsub.broadcast("t", "e", {})

    assert (plain.received, filtering.received, stays.received) == ([], [], ["w:e"])


def test_a_topic_exists_while_it_has_subscribers(pubsub: PubSub, wire: FakeWire) -> None:
    """Topics without members and subscribers are removed."""
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
    """Leaving a topic that the member has not joined is harmless."""
    joined(pubsub, wire)

    pubsub.leave("nowhere", FakeMember(wire))
    pubsub.leave("t", FakeMember(FakeWire("v"), "e"))
    pubsub.unsubscribe("nowhere", print)
    pubsub.unsubscribe("t", print)

    assert len(pubsub) == 1


# Plain subscribers.


def test_a_subscriber_gets_the_broadcast(pubsub: PubSub) -> None:
    """A function is called once with each broadcast, however often it subscribed."""
    received: list[Broadcast] = []
    pubsub.subscribe("t", received.append)
    pubsub.subscribe("t", received.append)

    pubsub.broadcast("t", "e", object)
    pubsub.broadcast("other", "e", {})

    assert received == [Broadcast("t", "e", object)]


class Ear:
    """Has a bound method to subscribe with, which is a new object each time."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def hear(self, broadcast: Broadcast) -> None:
        """Note the event."""
        self.received.append(broadcast.event)


def test_a_broadcast_may_leave_a_subscriber_out(pubsub: PubSub) -> None:
    """130: a subscriber may be excluded; equal bound methods are the same subscriber."""
    one, two = Ear(), Ear()
    pubsub.subscribe("t", one.hear)
    pubsub.subscribe("t", two.hear)

    pubsub.broadcast("t", "e", {}, exclude=one.hear)

    assert (one.received, two.received) == ([], ["e"])


def test_subscribers_may_leave_while_they_are_called(pubsub: PubSub, wire: FakeWire) -> None:
    """Subscribers and members may leave during a broadcast."""
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


def test_each_audience_gets_its_own_payload_encoded_once(pubsub: PubSub) -> None:
    """A5: of a broadcast with `payload_for`."""
    encoded: list[Any] = []

    class RecordingFanout(FakeFanout):
        def encode(self, broadcast: Broadcast) -> str:
            encoded.append(broadcast.payload)
            return str(broadcast.payload)

    class RecordingWire(FakeWire):
        def open_fanout(self) -> FakeFanout:
            return RecordingFanout(self)

    wire = RecordingWire("w")
    members = [FakeMember(wire, audience=name) for name in ("a", "b", "a", "b")]
    for member in members:
        pubsub.join("t", member)

    pubsub.broadcast("t", "e", "plain", payload_for=lambda audience: f"for {audience}")

    assert encoded == ["for a", "for b"]
    assert [member.received for member in members] == [["for a"], ["for b"]] * 2
