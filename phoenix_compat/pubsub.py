"""Who hears a topic: subscribers in this process, and the fastlane past their channels.

A broadcast is encoded once for each wire (serializer and framing) and handed to the topic's
fanouts,
which write it straight to the clients. Channels that intercept the event and plain subscribers get
the Broadcast itself. All of it happens before `broadcast` returns, but for the writes, which the
fanouts join at the end of the loop tick.

Source: phoenix 1.8.12, lib/phoenix/channel/server.ex, dispatch/3; phoenix_pubsub 2.2.0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol, TypeAlias

from phoenix_compat.protocol.message import Broadcast, Payload

Subscriber: TypeAlias = Callable[[Broadcast], None]
"""Called with each broadcast of a topic. Must not wait, and must not raise."""


Relay: TypeAlias = Callable[[str, str, Payload, bool], None]
"""Takes topic, event, payload and `newest_only` of a broadcast elsewhere. Must not wait. Raises
EncodeError."""


class Fanout(Protocol):
    """The clients of one topic that take the same bytes."""

    def encode(self, broadcast: Broadcast) -> Any:
        """Encode for these clients. Raises EncodeError."""

    def publish(self, packet: Any, but: Any, key: object = None) -> None:
        """Write what `encode` gave to every outlet of the fanout except `but`.

        Args:
            key: of the frames with the same key, a client that does not read gets only the newest;
                None for a frame that every client gets.
        """

    def add(self, outlet: Any) -> None:
        """Begin to write to a client."""

    def discard(self, outlet: Any) -> None:
        """Write nothing that is published from now on."""

    def __len__(self) -> int:
        """How many clients are in the fanout."""


class Wire(Protocol):
    """A serializer with a transport's framing; clients of one wire take the same bytes."""

    def open_fanout(self) -> Fanout:
        """A new fanout, for one topic."""


class Outlet(Protocol):
    """Where one client's frames go."""

    @property
    def wire(self) -> Wire:
        """The kind of bytes it takes."""


class Member(Protocol):
    """A joined channel."""

    @property
    def outlet(self) -> Outlet:
        """Its client; broadcasts go there straight."""

    @property
    def intercepts(self) -> frozenset[str]:
        """The events that go to the channel instead."""

    def intercept(self, broadcast: Broadcast) -> None:
        """Take a broadcast of one of these events."""


class _Topic:
    """The subscribers of one topic. Exists while there is one."""

    __slots__ = ("fanouts", "interceptors", "subscribers")

    def __init__(self) -> None:
        self.fanouts: dict[tuple[Wire, frozenset[str]], Fanout] = {}
        self.interceptors: dict[Member, None] | None = None
        self.subscribers: dict[Subscriber, None] | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.fanouts or self.interceptors or self.subscribers)


class PubSub:
    """Topics and their subscribers, in this process.

    Attributes:
        relay: takes each broadcast to the other processes of this server; None when there are none.
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

    def broadcast(  # noqa: PLR0913 - the parts of a broadcast, and who hears it
        self,
        topic: str,
        event: str,
        payload: Payload,
        *,
        but: Member | Subscriber | None = None,
        newest_only: bool = False,
        is_local: bool = False,
    ) -> None:
        """Send an event to every subscriber of a topic except `but`.

        Nothing happens when nobody listens, whatever the payload; with a relay, it must be one
        that can be encoded.

        Args:
            newest_only: of the broadcasts of this event that wait for a client which does not read,
                the newest is enough.
            is_local: whether only this process shall hear it.

        Differs from Phoenix: a payload that cannot be encoded for one of the listeners is heard by
        none of them, because all are encoded first; Phoenix stops half way.

        Raises:
            EncodeError: the payload cannot be encoded for a client that listens.
        """
        if self.relay is not None and not is_local:
            self.relay(topic, event, payload, newest_only)
        found = self._topics.get(topic)
        if found is None:
            return
        broadcast = Broadcast(topic, event, payload)
        encoded = [
            (fanout, fanout.encode(broadcast))
            for (_, intercepts), fanout in found.fanouts.items()
            if event not in intercepts
        ]
        outlet = None if but is None else getattr(but, "outlet", None)
        key = (topic, event) if newest_only else None
        for fanout, packet in encoded:
            fanout.publish(packet, outlet, key)
        if found.interceptors is not None:
            for member in tuple(found.interceptors):
                if member is not but and event in member.intercepts:
                    member.intercept(broadcast)
        if found.subscribers is not None:
            for subscriber in tuple(found.subscribers):
                if subscriber != but and getattr(subscriber, "__self__", subscriber) is not but:
                    subscriber(broadcast)

    def join(self, topic: str, member: Member) -> None:
        """Subscribe a channel on the fastlane."""
        found = self._topics.get(topic)
        if found is None:
            found = self._topics[topic] = _Topic()
        outlet = member.outlet
        key = (outlet.wire, member.intercepts)
        fanout = found.fanouts.get(key)
        if fanout is None:
            fanout = found.fanouts[key] = outlet.wire.open_fanout()
        fanout.add(outlet)
        if member.intercepts:
            if found.interceptors is None:
                found.interceptors = {}
            found.interceptors[member] = None

    def leave(self, topic: str, member: Member) -> None:
        """Undo `join`; what was broadcast before still arrives."""
        found = self._topics.get(topic)
        if found is None:
            return
        key = (member.outlet.wire, member.intercepts)
        fanout = found.fanouts.get(key)
        if fanout is not None:
            fanout.discard(member.outlet)
            if not len(fanout):
                del found.fanouts[key]
        if found.interceptors is not None:
            found.interceptors.pop(member, None)
        self._forget(topic, found)

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Have a function called with every broadcast of a topic. A second time changes nothing."""
        found = self._topics.setdefault(topic, _Topic())
        if found.subscribers is None:
            found.subscribers = {}
        found.subscribers[subscriber] = None

    def unsubscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Undo `subscribe`."""
        found = self._topics.get(topic)
        if found is not None and found.subscribers is not None:
            found.subscribers.pop(subscriber, None)
            self._forget(topic, found)

    def _forget(self, topic: str, found: _Topic) -> None:
        if found.is_empty:
            self._topics.pop(topic, None)
