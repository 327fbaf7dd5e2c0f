"""Topics and their subscribers in this process, with Phoenix's fastlane.

A broadcast is encoded once for each wire (serializer and framing). The topic's fanouts write it
directly to the clients, without a detour through their channels. Channels that intercept the event,
and plain subscribers, get the Broadcast itself. All of this happens before `broadcast` returns,
except for the writes: the fanouts combine those of one loop tick.

Source: phoenix 1.8.12, lib/phoenix/channel/server.ex, dispatch/3; phoenix_pubsub 2.2.0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol, TypeAlias

from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import Broadcast, Payload

Subscriber: TypeAlias = Callable[[Broadcast], None]
"""Called with each broadcast of a topic. Must not block or raise."""


Relay: TypeAlias = Callable[[str, str, Payload, bool], None]
"""Sends a broadcast (topic, event, payload, newest_only) to other processes. Must not block. Raises
EncodeError."""


PayloadFor: TypeAlias = Callable[[str], Payload]
"""Makes the payload for an audience: the clients whose `Socket.audience` is this text."""


class Fanout(Protocol):
    """The clients of one topic that take the same bytes."""

    def encode(self, broadcast: Broadcast) -> Any:
        """Encode for these clients. Raises EncodeError."""

    def publish(self, packet: Any, exclude: Any, key: object = None) -> None:
        """Write a packet from `encode` to all clients of the fanout except `exclude`.

        Args:
            key: for a slow client, a packet replaces an unsent one with the same key. None for a
                packet that replaces none.
        """

    def add(self, outbox: Any) -> None:
        """Add a client; it gets what is published from now on."""

    def discard(self, outbox: Any) -> None:
        """Remove a client; it gets nothing that is published from now on."""

    def is_only(self, outbox: Any) -> bool:
        """Whether this client is the only one in the fanout."""

    def __len__(self) -> int:
        """How many clients are in the fanout."""


class Wire(Protocol):
    """A serializer with a transport's framing; clients of one wire take the same bytes."""

    def open_fanout(self) -> Fanout:
        """Create a fanout for one topic."""


class Outbox(Protocol):
    """The outgoing frames of one client."""

    @property
    def wire(self) -> Wire:
        """The client's serializer and framing."""


class Member(Protocol):
    """A joined channel."""

    @property
    def outbox(self) -> Outbox:
        """The client's outbox; broadcasts go there directly."""

    @property
    def intercepts(self) -> frozenset[str]:
        """The events that go to the channel instead."""

    @property
    def audience(self) -> str:
        """Which payload it takes of a broadcast that has several. Must not change once joined."""

    def intercept(self, broadcast: Broadcast) -> None:
        """Handle a broadcast of one of these events."""


class _Topic:
    """The subscribers of one topic, and how many broadcasts they got. Exists while it has any."""

    __slots__ = ("broadcasts", "fanouts", "interceptors", "subscribers")

    def __init__(self) -> None:
        self.broadcasts = 0
        self.fanouts: dict[tuple[Wire, frozenset[str], str], Fanout] = {}
        self.interceptors: dict[Member, None] | None = None
        self.subscribers: dict[Subscriber, None] | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.fanouts or self.interceptors or self.subscribers)


class PubSub:
    """Topics and their subscribers, in this process.

    Attributes:
        relay: sends each broadcast to the other processes of this server; None if there are none.
    """

    __slots__ = ("_topics", "relay")

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self.relay: Relay | None = None

    def __len__(self) -> int:
        """How many topics have a subscriber."""
        return len(self._topics)

    @property
    def topics(self) -> Collection[str]:
        """The topics that have a subscriber."""
        return self._topics.keys()

    def joined(self) -> Iterator[tuple[str, int, int]]:
        """For each topic that a client has joined: the topic, its clients, its broadcasts so far.

        For tools that show them. It must be read to its end before anything is awaited.
        """
        for topic, found in self._topics.items():
            if found.fanouts:
                yield topic, sum(map(len, found.fanouts.values())), found.broadcasts

    def broadcast(  # noqa: PLR0913 - the parts of a broadcast, and its recipients
        self,
        topic: str,
        event: str,
        payload: Payload,
        *,
        exclude: Member | Subscriber | None = None,
        newest_only: bool = False,
        is_local: bool = False,
        payload_for: PayloadFor | None = None,
    ) -> None:
        """Send an event to every subscriber of a topic except `exclude`.

        Channels that intercept the event, and plain subscribers, get JSON: a Struct, a dataclass or
        a pydantic model as the dict that clients get.

        Without other subscribers nothing happens, whatever the payload; a relay still encodes it.

        Args:
            newest_only: whether a slow client needs only the newest unsent broadcast of this event.
            is_local: whether to send it to subscribers of this process only.
            payload_for: makes the payload for the clients of an audience; it is encoded once for
                each. Plain subscribers, channels that intercept the event, and other processes get
                `payload`.

        Differs from Phoenix: a payload that cannot be encoded for one of the subscribers reaches
        none of them, because it is encoded for all of them first; Phoenix stops half way.

        Raises:
            EncodeError: the payload cannot be encoded for one of the subscribers.
        """
        if self.relay is not None and not is_local:
            self.relay(topic, event, payload, newest_only)
        found = self._topics.get(topic)
        if found is None:
            return
        found.broadcasts += 1
        broadcast = Broadcast(topic, event, payload)
        excluded_outbox = None if exclude is None else getattr(exclude, "outbox", None)
        encoded = [
            (
                fanout,
                fanout.encode(
                    broadcast
                    if payload_for is None
                    else Broadcast(topic, event, payload_for(audience))
                ),
            )
            for (_, intercepts, audience), fanout in found.fanouts.items()
            if event not in intercepts and (exclude is None or not fanout.is_only(excluded_outbox))
        ]
        key = (topic, event) if newest_only else None
        for fanout, packet in encoded:
            fanout.publish(packet, excluded_outbox, key)
        has_callbacks = found.interceptors is not None or found.subscribers is not None
        if has_callbacks and type(payload) is not dict and jason.is_object(payload):
            broadcast = Broadcast(topic, event, jason.to_json(payload))
        if found.interceptors is not None:
            for member in tuple(found.interceptors):
                if member is not exclude and event in member.intercepts:
                    member.intercept(broadcast)
        if found.subscribers is not None:
            for subscriber in tuple(found.subscribers):
                owner = getattr(subscriber, "__self__", subscriber)
                if subscriber != exclude and owner is not exclude:
                    subscriber(broadcast)

    def join(self, topic: str, member: Member) -> None:
        """Subscribe a channel, with the fastlane to its client."""
        found = self._topics.get(topic)
        if found is None:
            found = self._topics[topic] = _Topic()
        outbox = member.outbox
        key = (outbox.wire, member.intercepts, member.audience)
        fanout = found.fanouts.get(key)
        if fanout is None:
            fanout = found.fanouts[key] = outbox.wire.open_fanout()
        fanout.add(outbox)
        if member.intercepts:
            if found.interceptors is None:
                found.interceptors = {}
            found.interceptors[member] = None

    def leave(self, topic: str, member: Member) -> None:
        """Undo `join`; earlier broadcasts still arrive."""
        found = self._topics.get(topic)
        if found is None:
            return
        outbox = member.outbox
        key = (outbox.wire, member.intercepts, member.audience)
        fanout = found.fanouts.get(key)
        if fanout is not None:
            fanout.discard(outbox)
            if not len(fanout):
                del found.fanouts[key]
        if found.interceptors is not None:
            found.interceptors.pop(member, None)
        self._remove_if_empty(topic, found)

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Call a function with every broadcast of a topic. A second `subscribe` changes nothing."""
        found = self._topics.setdefault(topic, _Topic())
        if found.subscribers is None:
            found.subscribers = {}
        found.subscribers[subscriber] = None

    def unsubscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Undo `subscribe`."""
        found = self._topics.get(topic)
        if found is not None and found.subscribers is not None:
            found.subscribers.pop(subscriber, None)
            self._remove_if_empty(topic, found)

    def _remove_if_empty(self, topic: str, found: _Topic) -> None:
        if found.is_empty:
            self._topics.pop(topic, None)
