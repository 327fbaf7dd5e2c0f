"""Holds the presences of this process and records changes. Presence publishes them.

An owner is a channel or a Guest. A key is whom the owner represents, for example a user. A meta is
JSON about the owner. When an owner ends, all its presences end.

Memory: each tracked meta, and a small record for every owner that has tracked something, until it
ends. The cost of tracking does not depend on the number of presences; the cost of a list is linear
in the presences of its topic.

Differs from Phoenix: a key is cast to a string when it is tracked, so 5 and "5" are the same key,
and it must be a str, an int or a bool. Names of JavaScript's own properties (`__proto__`,
`constructor`, …) are refused, because each of them breaks phoenix.js before 1.8.9 for the whole
topic. The metas of a key are in the order in which their owners first tracked something; in Phoenix
they are in the order of their creation.

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
"""Whom a presence represents; sent as a string: 5 as "5", True as "true"."""

Meta: TypeAlias = dict[str, Any]
"""JSON about one owner: the tracked fields, `phx_ref`, and after an update `phx_ref_prev`."""

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
    """An owner already tracks this key on this topic: `{:already_tracked, …}` in Phoenix.

    Attributes:
        topic: the topic.
        key: the key, as a string.
    """

    def __init__(self, topic: str, key: str) -> None:
        super().__init__(f"this owner already tracks {brief(key)} on {brief(topic)}; use update()")
        self.topic = topic
        self.key = key


class NotTrackedError(PhoenixCompatError):
    """An owner does not track the key that it updates: `{:error, :nopresence}` in Phoenix.

    Attributes:
        topic: the topic.
        key: the key, as a string.
    """

    def __init__(self, topic: str, key: str) -> None:
        super().__init__(f"this owner does not track {brief(key)} on {brief(topic)}; use track()")
        self.topic = topic
        self.key = key


class InvalidPresenceError(PhoenixCompatError, ValueError):
    """An owner, a key or a meta cannot be tracked; the message says why."""


class Owner(Protocol):
    """The owner of presences, which end with it: the Socket of a channel, or a Guest."""

    @property
    def topic(self) -> Any:
        """The topic of its presences, unless another is given."""

    def monitor(self, on_end: Callable[[], None]) -> None:
        """Call a function once when the owner ends."""


class Guest:
    """An owner without a channel, for example a bot, a worker or a client of another protocol::

        with Guest("room:lobby") as guest:
            presence.track(guest, "helper", {"is_bot": True})

    Leaving the block ends all its presences.
    """

    __slots__ = ("_monitors", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._monitors: list[Callable[[], None]] | None = []

    def monitor(self, on_end: Callable[[], None]) -> None:
        """Call a function when the guest ends; immediately, if it has ended already."""
        if self._monitors is None:
            on_end()
        else:
            self._monitors.append(on_end)

    def end(self) -> None:
        """End all its presences. A second call changes nothing."""
        monitors, self._monitors = self._monitors, None
        for on_end in monitors or ():
            on_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()


class TrackedKey(NamedTuple):
    """The topic and the key of a meta."""

    topic: str
    key: str


class Change(NamedTuple):
    """The change of one topic by one operation: the metas that joined and left, by key.

    Attributes:
        is_own: whether the presences belong to this process.
    """

    topic: str
    joins: dict[str, list[Meta]]
    leaves: dict[str, list[Meta]]
    is_own: bool = True


class _OwnerRecord:
    """The metas of one owner, and its number in the order of owners."""

    __slots__ = ("metas", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.metas: dict[TrackedKey, Meta] = {}


class Tracker:
    """The presences of this process. Stored metas are replaced, never modified.

    Args:
        refs: generates refs.
        changed: called when there are new changes.

    Attributes:
        changes: the changes to publish, in order; the caller removes them.
    """

    __slots__ = ("_changed", "_numbers", "_owners", "_refs", "_topics", "changes")

    def __init__(self, refs: Refs, changed: Callable[[], None]) -> None:
        self.changes: deque[Change] = deque()
        self._refs = refs
        self._changed = changed
        self._numbers = itertools.count()
        self._owners: dict[Owner, _OwnerRecord] = {}
        self._topics: dict[str, dict[str, dict[int, Meta]]] = {}  # by topic, key, owner's number

    def __len__(self) -> int:
        """How many topics have a presence."""
        return len(self._topics)

    @property
    def owners(self) -> int:
        """How many owners have tracked something and have not ended."""
        return len(self._owners)

    def track(self, owner: Owner, key: Key, meta: object, topic: str | None) -> str:
        """See Presence.track."""
        tracked = _tracked_key(owner, key, topic)
        if tracked.key in _REFUSED_KEYS:
            raise InvalidPresenceError(
                f"{brief(tracked.key)} cannot be a presence key, because it is the name of a "
                "JavaScript property; add a prefix"
            )
        if owner.topic is None:
            raise InvalidPresenceError("a socket in connect() has no channel that can be tracked")
        record = self._owners.get(owner)
        if record is not None and tracked in record.metas:
            raise AlreadyTrackedError(*tracked)
        new = self._with_refs(tracked, meta, None)
        if record is None:
            self._owners[owner] = record = _OwnerRecord(next(self._numbers))
            self._put(record, tracked, new, {})
            owner.monitor(partial(self._ended, owner))
        else:
            self._put(record, tracked, new, {})
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
        tracked = _tracked_key(owner, key, topic)
        record = self._owners.get(owner)
        if record is None or tracked not in record.metas:
            raise NotTrackedError(*tracked)
        old = record.metas[tracked]
        new = self._with_refs(tracked, meta(old.copy()) if callable(meta) else meta, old)
        self._put(record, tracked, new, {tracked.key: [old]})
        self._changed()
        return str(new["phx_ref"])

    def untrack(self, owner: Owner, key: Key | None, topic: str | None) -> None:
        """See Presence.untrack."""
        record = self._owners.get(owner)
        if key is not None:
            tracked = _tracked_key(owner, key, topic)
            ended = [] if record is None or tracked not in record.metas else [tracked]
        else:
            known = [] if record is None else record.metas
            ended = [tracked for tracked in known if topic is None or tracked.topic == topic]
        if record is not None and ended:
            self._drop(record, ended)
            self._changed()

    def metas(self, topic: str, key: Key) -> list[Meta]:
        """The metas of a key, in the order of their owners."""
        return _in_order(self._topics.get(topic, {}).get(cast(key), {}))

    def all_metas(self, topic: str) -> dict[str, list[Meta]]:
        """The metas of a topic, by key."""
        return {key: _in_order(metas) for key, metas in self._topics.get(topic, {}).items()}

    def all_topics(self) -> dict[str, dict[str, list[Meta]]]:
        """All metas, by topic and key."""
        return {topic: self.all_metas(topic) for topic in self._topics}

    @property
    def topics(self) -> Iterable[str]:
        """The topics that have a presence."""
        return self._topics.keys()

    def _with_refs(self, tracked: TrackedKey, meta: object, old: Meta | None) -> Meta:
        """A copy of a meta with its refs."""
        if not isinstance(meta, dict):
            raise InvalidPresenceError(
                f"the meta of {brief(tracked.key)} must be a dict, not {brief(meta)}"
            )
        new = {**meta, "phx_ref": self._refs.next()}
        if old is not None:
            new["phx_ref_prev"] = old["phx_ref"]
        # A meta that cannot be encoded must not be stored, or nobody could join any more. The
        # margin is for the message around it.
        jason.encode(_nested({tracked.key: new}, _MARGIN_LEVELS))
        return new

    def _put(
        self, record: _OwnerRecord, tracked: TrackedKey, meta: Meta, leaves: dict[str, list[Meta]]
    ) -> None:
        topic, key = tracked
        record.metas[tracked] = meta
        self._topics.setdefault(topic, {}).setdefault(key, {})[record.number] = meta
        self.changes.append(Change(topic, {key: [meta]}, leaves))

    def _drop(self, record: _OwnerRecord, ended: Iterable[TrackedKey]) -> None:
        """End presences of one owner, with one change per topic."""
        leaves: dict[str, dict[str, list[Meta]]] = {}
        for tracked in ended:
            topic, key = tracked
            leaves.setdefault(topic, {})[key] = [record.metas.pop(tracked)]
            keys = self._topics[topic]
            del keys[key][record.number]
            if not keys[key]:
                del keys[key]
            if not keys:
                del self._topics[topic]
        self.changes.extend(Change(topic, {}, metas) for topic, metas in leaves.items())

    def _ended(self, owner: Owner) -> None:
        record = self._owners.pop(owner)
        if record.metas:
            self._drop(record, tuple(record.metas))
            self._changed()


class Refs:
    """Generates refs: 8 bytes of time, 2 of the node and 2 of a counter, as 16 characters.

    Only the last 16 bits of the node's number count. Two nodes with the same ones make the same ref
    only if they do it in the same nanosecond.

    Source: phoenix_pubsub 2.2.0, lib/phoenix/tracker/shard.ex, random_ref/0.
    """

    __slots__ = ("_clock_ns", "_count", "_node")

    def __init__(self, clock_ns: Callable[[], int], node: int) -> None:
        self._clock_ns = clock_ns
        self._node = (node % 2**16).to_bytes(2)
        self._count = 0

    def next(self) -> str:
        """A new, unique ref."""
        self._count = (self._count + 1) % 2**16
        data = self._clock_ns().to_bytes(8) + self._node + self._count.to_bytes(2)
        return urlsafe_b64encode(data).decode()


def cast(key: object) -> str:
    """Convert a key to the string that is sent. Raises InvalidPresenceError."""
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


def _tracked_key(owner: Owner, key: Key, topic: str | None) -> TrackedKey:
    return TrackedKey(owner.topic if topic is None else topic, cast(key))


def _in_order(metas: dict[int, Meta]) -> list[Meta]:
    return [metas[number] for number in sorted(metas)]
