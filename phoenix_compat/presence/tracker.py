"""The tracker: who is where, and what changed. It tells nobody; see Presence.

An owner is a channel, or whoever else can be present; a key is whom it stands for, a user; a meta
is what it says about itself there. When an owner ends, all that it tracked ends.

Memory: each tracked meta, and one small record for every owner that tracked something, until it
ends. Tracking costs the same however many are present; a list costs what its topic has.

Differs from Phoenix: a key is cast to a string when it is tracked, so that 5 and "5" are one, and
must be a str, an int or a bool; names of JavaScript's own (`__proto__`, `constructor`, …) are no
keys, because one of them stops every phoenix.js before 1.8.9 on the topic; the metas of a key are
in the order in which their owners first tracked something, in Phoenix in that of their creation.

Source: phoenix_pubsub 2.2.0, lib/phoenix/tracker/shard.ex and state.ex.
"""

from __future__ import annotations

import itertools
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias

from phoenix_compat.bounded import brief
from phoenix_compat.errors import PhoenixCompatError
from phoenix_compat.protocol import jason

Key: TypeAlias = str | int
"""Whom a presence stands for; sent as a string: 5 as "5", True as "true"."""

Meta: TypeAlias = dict[str, Any]
"""JSON about one owner: what was tracked, `phx_ref`, and after an update `phx_ref_prev`."""

_MARGIN_LEVELS: Final = 100
_REFUSED_KEYS: Final = frozenset(
    {
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "prototype",
        "toLocaleString",
        "toString",
        "valueOf",
    }
)


class AlreadyTrackedError(PhoenixCompatError):
    """An owner tracks a key on a topic where it tracks it already: `{:already_tracked, …}`.

    Attributes:
        topic: the topic.
        key: the key, as a string.
    """

    def __init__(self, topic: str, key: str) -> None:
        super().__init__(
            f"{brief(key)} is tracked on {brief(topic)} by the same owner; use update()"
        )
        self.topic = topic
        self.key = key


class NotTrackedError(PhoenixCompatError):
    """An owner updates a key that it does not track: `{:error, :nopresence}`.

    Attributes:
        topic: the topic.
        key: the key, as a string.
    """

    def __init__(self, topic: str, key: str) -> None:
        super().__init__(
            f"{brief(key)} is not tracked on {brief(topic)} by this owner; use track()"
        )
        self.topic = topic
        self.key = key


class InvalidPresenceError(PhoenixCompatError, ValueError):
    """An owner, a key or a meta that cannot be tracked; the text says why."""


class Owner(Protocol):
    """Whose presences end with it: the Socket of a channel, or a Guest."""

    @property
    def topic(self) -> Any:
        """Where it is present, unless told otherwise."""

    def monitor(self, at_end: Callable[[], None]) -> None:
        """Have a function called once when the owner ends."""


class Guest:
    """Someone who is present without a channel: a bot, a worker, a client of another kind::

        with Guest("room:lobby") as guest:
            presence.track(guest, "helper", {"is_bot": True})

    Leaving the block ends all its presences.
    """

    __slots__ = ("_monitors", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._monitors: list[Callable[[], None]] | None = []

    def monitor(self, at_end: Callable[[], None]) -> None:
        """Have a function called when the guest ends; at once, if it has."""
        if self._monitors is None:
            at_end()
        else:
            self._monitors.append(at_end)

    def end(self) -> None:
        """End all its presences. A second call changes nothing."""
        monitors, self._monitors = self._monitors, None
        for at_end in monitors or ():
            at_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()


class Place(NamedTuple):
    """Where an owner has a meta."""

    topic: str
    key: str


class Change(NamedTuple):
    """What one operation did to one topic: the metas that came and went, by key.

    Attributes:
        is_own: whether it happened in this process.
    """

    topic: str
    joins: dict[str, list[Meta]]
    leaves: dict[str, list[Meta]]
    is_own: bool = True


class _Owned:
    """What one owner has, and its number in the order of owners."""

    __slots__ = ("metas", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.metas: dict[Place, Meta] = {}


class Tracker:
    """The state. Metas in it are replaced, never changed; whoever gives them away copies them.

    Args:
        refs: what makes refs.
        changed: called when there are changes to tell.

    Attributes:
        changes: what happened, in order; taken away by whoever tells it.
    """

    __slots__ = ("_changed", "_numbers", "_owners", "_refs", "_topics", "changes")

    def __init__(self, refs: Refs, changed: Callable[[], None]) -> None:
        self.changes: deque[Change] = deque()
        self._refs = refs
        self._changed = changed
        self._numbers = itertools.count()
        self._owners: dict[Owner, _Owned] = {}
        self._topics: dict[str, dict[str, dict[int, Meta]]] = {}  # by topic, key, owner's number

    def __len__(self) -> int:
        """How many topics have a presence."""
        return len(self._topics)

    @property
    def owners(self) -> int:
        """How many owners tracked something and did not end yet."""
        return len(self._owners)

    def track(self, owner: Owner, key: Key, meta: object, topic: str | None) -> str:
        """See Presence.track."""
        place = _place_of(owner, key, topic)
        if place.key in _REFUSED_KEYS:
            raise InvalidPresenceError(
                f"{brief(place.key)} cannot be a presence key: clients take it for a part of a "
                "JavaScript object; put a prefix before it"
            )
        if owner.topic is None:
            raise InvalidPresenceError("a socket in connect() has no channel that is present")
        owned = self._owners.get(owner)
        if owned is not None and place in owned.metas:
            raise AlreadyTrackedError(*place)
        new = self._stamp(place, meta, None)
        if owned is None:
            self._owners[owner] = owned = _Owned(next(self._numbers))
            self._put(owned, place, new, {})
            owner.monitor(partial(self._ended, owner))
        else:
            self._put(owned, place, new, {})
        self._changed()
        return str(new["phx_ref"])

    def update(
        self,
        owner: Owner,
        key: Key,
        meta: Meta | Callable[[Meta], Meta],
        topic: str | None,
    ) -> str:
        """See Presence.update."""
        place = _place_of(owner, key, topic)
        owned = self._owners.get(owner)
        if owned is None or place not in owned.metas:
            raise NotTrackedError(*place)
        old = owned.metas[place]
        new = self._stamp(place, meta(old.copy()) if callable(meta) else meta, old)
        self._put(owned, place, new, {place.key: [old]})
        self._changed()
        return str(new["phx_ref"])

    def untrack(self, owner: Owner, key: Key | None, topic: str | None) -> None:
        """See Presence.untrack."""
        owned = self._owners.get(owner)
        if key is not None:
            place = _place_of(owner, key, topic)
            places = [] if owned is None or place not in owned.metas else [place]
        else:
            known = [] if owned is None else owned.metas
            places = [place for place in known if topic is None or place.topic == topic]
        if owned is not None and places:
            self._drop(owned, places)
            self._changed()

    def metas(self, topic: str, key: Key) -> list[Meta]:
        """The metas of a key, in the order of their owners."""
        return _in_order(self._topics.get(topic, {}).get(cast(key), {}))

    def all_metas(self, topic: str) -> dict[str, list[Meta]]:
        """The metas of a topic, by key."""
        return {key: _in_order(metas) for key, metas in self._topics.get(topic, {}).items()}

    def everything(self) -> dict[str, dict[str, list[Meta]]]:
        """All metas, by topic and key."""
        return {topic: self.all_metas(topic) for topic in self._topics}

    @property
    def topics(self) -> Iterable[str]:
        """The topics that have a presence."""
        return self._topics.keys()

    def _stamp(self, place: Place, meta: object, old: Meta | None) -> Meta:
        """A copy of a meta with its refs."""
        if not isinstance(meta, dict):
            raise InvalidPresenceError(
                f"the meta of {brief(place.key)} must be a dict, not {brief(meta)}"
            )
        stamped = {**meta, "phx_ref": self._refs.next()}
        if old is not None:
            stamped["phx_ref_prev"] = old["phx_ref"]
        # What cannot be told must not be stored, or nobody could join any more. It will be told
        # inside of messages, by callers of any depth.
        jason.encode(_nested({place.key: stamped}, _MARGIN_LEVELS))
        return stamped

    def _put(self, owned: _Owned, place: Place, meta: Meta, leaves: dict[str, list[Meta]]) -> None:
        topic, key = place
        owned.metas[place] = meta
        self._topics.setdefault(topic, {}).setdefault(key, {})[owned.number] = meta
        self.changes.append(Change(topic, {key: [meta]}, leaves))

    def _drop(self, owned: _Owned, places: Iterable[Place]) -> None:
        """End presences of one owner: one change for each topic."""
        leaves: dict[str, dict[str, list[Meta]]] = {}
        for place in places:
            topic, key = place
            leaves.setdefault(topic, {})[key] = [owned.metas.pop(place)]
            keys = self._topics[topic]
            del keys[key][owned.number]
            if not keys[key]:
                del keys[key]
            if not keys:
                del self._topics[topic]
        self.changes.extend(Change(topic, {}, metas) for topic, metas in leaves.items())

    def _ended(self, owner: Owner) -> None:
        owned = self._owners.pop(owner)
        if owned.metas:
            self._drop(owned, tuple(owned.metas))
            self._changed()


class Refs:
    """Makes refs: 8 bytes of time, 2 of the node, 2 of a counter, as 16 characters.

    Source: phoenix_pubsub 2.2.0, lib/phoenix/tracker/shard.ex, random_ref/0.
    """

    __slots__ = ("_clock_ns", "_count", "_node")

    def __init__(self, clock_ns: Callable[[], int], node: int) -> None:
        self._clock_ns = clock_ns
        self._node = node.to_bytes(2)
        self._count = 0

    def next(self) -> str:
        """A ref that no other presence has."""
        self._count = (self._count + 1) % 2**16
        data = self._clock_ns().to_bytes(8) + self._node + self._count.to_bytes(2)
        return urlsafe_b64encode(data).decode()


def cast(key: object) -> str:
    """A key as it is sent. Raises InvalidPresenceError."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return str(key)
    raise InvalidPresenceError(f"a presence key must be a str, an int or a bool, not {brief(key)}")


def _nested(value: object, levels: int) -> object:
    for _ in range(levels):
        value = [value]
    return value


def _place_of(owner: Owner, key: Key, topic: str | None) -> Place:
    return Place(owner.topic if topic is None else topic, cast(key))


def _in_order(metas: dict[int, Meta]) -> list[Meta]:
    return [metas[number] for number in sorted(metas)]
