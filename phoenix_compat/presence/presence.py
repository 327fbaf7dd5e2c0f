"""Presence: tells every topic who came and who went, and anyone who asks who is there.

Each track, untrack and update tells its topic one `presence_diff`; the end of a channel tells each
of its topics one, with all its keys. A diff always has both sides:

    {"joins": {"ann": {"metas": [{"phx_ref": "GOqcZ0f0foSI2BHh", …}]}}, "leaves": {}}

Differs from Phoenix: diffs are made and told before `track` returns, so `fetch` is a plain function
that must not wait. If it raises, that is logged and the diff goes out as it was tracked; in Phoenix
the tracker goes down with it.

Source: phoenix 1.8.12, lib/phoenix/presence.ex.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeAlias

from phoenix_compat.bounded import brief
from phoenix_compat.errors import ChannelDefinitionError
from phoenix_compat.presence.replicas import Replicas, Topics
from phoenix_compat.presence.tracker import Change, Key, Meta, Owner, Refs, Tracker, cast
from phoenix_compat.protocol.message import Payload

log = logging.getLogger(__name__)

PRESENCE_DIFF: Final = "presence_diff"

Metas: TypeAlias = list[Meta]

Presences: TypeAlias = dict[str, dict[str, Any]]
"""`{"ann": {"metas": [{"phx_ref": …, …}, …]}, …}`, with what `fetch` added beside `metas`."""

Diff: TypeAlias = dict[str, Presences]
"""`{"joins": presences, "leaves": presences}`."""


Share: TypeAlias = Callable[[str, dict[str, Metas], dict[str, Metas]], None]
"""Called with the topic, the joins and the leaves of a change. Must not wait, change or raise."""


class LocalBroadcaster(Protocol):
    """Who tells the diffs: an Endpoint, or anything that takes what it takes."""

    def local_broadcast(self, topic: str, event: str, payload: Payload) -> object:
        """See Endpoint.local_broadcast."""


class Presence:
    """The presences of one process, and copies of those of others that share with it.

    Subclass it to add to what is told, or to follow it.

    Args:
        broadcaster: the endpoint.
        clock_ns: the time in nanoseconds, for refs.
        node: 16 bits that tell the refs of this process from those of others; random by default.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if _is_followed(cls) and cls.init is Presence.init:
            raise ChannelDefinitionError(
                f"{cls.__name__} has handle_metas() but no init() to give its first state: "
                "def init(self): return {}"
            )

    def __init__(
        self,
        broadcaster: LocalBroadcaster,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        node: int | None = None,
    ) -> None:
        refs = Refs(clock_ns, secrets.randbits(16) if node is None else node)
        self._broadcaster = broadcaster
        self._tracker = Tracker(refs, self._tell)
        self._replicas = Replicas()
        self._share: Share | None = None
        self._is_telling = False
        self._followed: dict[str, dict[str, Metas]] = {}
        self._state = self.init()

    def __len__(self) -> int:
        """How many topics have a presence."""
        return len({*self._tracker.topics, *self._replicas.topics})

    def track(self, owner: Owner, key: Key, meta: Meta, *, topic: str | None = None) -> str:
        """Begin a presence, which ends with its owner; returns its `phx_ref`.

        Tells `{"joins": {key: {"metas": [meta]}}, "leaves": {}}`.

        Args:
            owner: the socket of a channel, or a Guest.
            key: whom it stands for; several owners may stand for the same.
            meta: a dict of JSON. It is copied, what it holds is not.
            topic: where, if not on the owner's own topic.

        Raises:
            AlreadyTrackedError: this owner tracks this key there.
            InvalidPresenceError: the owner, the key or the meta cannot be tracked.
            EncodeError: the meta is not JSON.
        """
        return self._tracker.track(owner, key, meta, topic)

    def untrack(self, owner: Owner, key: Key | None = None, *, topic: str | None = None) -> None:
        """End a presence; nothing happens if there is none.

        Tells `{"joins": {}, "leaves": {key: {"metas": [meta]}}}`. Without a key all keys of the
        owner end, on this topic or, when none is named, on every topic.

        Raises:
            InvalidPresenceError: no key can be like this.
        """
        self._tracker.untrack(owner, key, topic)

    def update(
        self,
        owner: Owner,
        key: Key,
        meta: Meta | Callable[[Meta], Meta],
        *,
        topic: str | None = None,
    ) -> str:
        """Replace the meta of a presence; returns its new `phx_ref`.

        Tells one diff: the new meta joins, with `phx_ref_prev`, and the old one leaves.

        Args:
            meta: the new meta, or a function of the old one, which has its refs in it.

        Raises:
            NotTrackedError: this owner does not track this key there.
            InvalidPresenceError: the key or the meta cannot be tracked.
            EncodeError: the meta is not JSON.
        """
        return self._tracker.update(owner, key, meta, topic)

    def list(self, topic: str | Owner) -> Presences:
        """All presences of a topic, or of an owner's topic, by key; `{}` if there are none."""
        name = _name_of(topic)
        metas = self._tracker.all_metas(name)
        for key, others in self._replicas.all_metas(name).items():
            metas.setdefault(key, []).extend(others)
        return self.fetch(name, _presences(metas))

    def get_by_key(self, topic: str | Owner, key: Key) -> dict[str, Any] | None:
        """What `list` has under a key; None where Phoenix has `[]`, if that is nothing."""
        name = _name_of(topic)
        metas = self._tracker.metas(name, key) + self._replicas.metas(name, cast(key))
        return self.fetch(name, _presences({cast(key): metas}))[cast(key)] if metas else None

    # Other processes; see cluster.PresenceReplicas.

    def share(self, share: Share) -> None:
        """Have a function called with each change of this process: topic, joins, leaves."""
        self._share = share

    def own_metas(self) -> Topics:
        """All that this process tracks, by topic and key."""
        return self._tracker.everything()

    def merge(
        self, node: int, topic: str, joins: dict[str, Metas], leaves: dict[str, Metas]
    ) -> None:
        """Take a change of another process, and tell it here."""
        self._take(self._replicas.apply(node, topic, joins, leaves))

    def replace(self, node: int, topics: Topics) -> None:
        """Take all that another process tracks, nothing when it is gone; tells what differs."""
        self._take(self._replicas.replace(node, topics))

    def _take(self, changes: Sequence[Change]) -> None:
        self._tracker.changes.extend(changes)
        self._tell()

    # What a subclass may say.

    def fetch(self, topic: str, presences: Presences) -> Presences:
        """Add to what is told and listed, beside `metas`: `{"ann": {"metas": […], "user": {…}}}`.

        Called for each list, and for the joins and then for the leaves of each diff, also when they
        are `{}`. What it is given is its own to change. It must not wait.
        """
        del topic
        return presences

    def init(self) -> Any:
        """The first state of `handle_metas`; must be there if that is."""
        return None

    def handle_metas(
        self, topic: str, diff: Diff, presences: Mapping[str, Metas], state: Any
    ) -> Any:
        """Follow what is told: called after each diff; returns the next state. It must not wait.

        Args:
            diff: what was told.
            presences: the topic's metas after it, by key, in the order in which they came.
        """
        del topic, diff, presences
        return state

    # Telling. What is tracked meanwhile waits for its turn, so that everyone hears one order.

    def _tell(self) -> None:
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._tracker.changes:
                self._tell_one(self._tracker.changes.popleft())
        finally:
            self._is_telling = False

    def _tell_one(self, change: Change) -> None:
        topic = change.topic
        if self._share is not None and change.is_own:
            self._share(topic, change.joins, change.leaves)
        diff = {
            "joins": self._fetched(topic, change.joins),
            "leaves": self._fetched(topic, change.leaves),
        }
        with _logged(PRESENCE_DIFF, topic):
            self._broadcaster.local_broadcast(topic, PRESENCE_DIFF, diff)
        if _is_followed(type(self)):
            with _logged("handle_metas", topic):
                self._follow(topic, diff)

    def _follow(self, topic: str, diff: Diff) -> None:
        presences = _merge(self._followed.pop(topic, {}), diff)
        if presences:
            self._followed[topic] = presences
        self._state = self.handle_metas(topic, diff, presences, self._state)

    def _fetched(self, topic: str, metas: dict[str, Metas]) -> Presences:
        try:
            return self.fetch(topic, _presences(metas))
        except Exception:  # user code; the diff goes out as it was tracked
            log.exception("fetch of %s failed", brief(topic))
            return _presences(metas)


def _is_followed(presence: type[Presence]) -> bool:
    return presence.handle_metas is not Presence.handle_metas


def _name_of(topic: str | Owner) -> str:
    return topic if isinstance(topic, str) else str(topic.topic)


def _presences(metas: dict[str, Metas]) -> Presences:
    """Metas in the shape of a list or of one side of a diff; copies, since users may change it."""
    return {key: {"metas": [meta.copy() for meta in of_key]} for key, of_key in metas.items()}


def _merge(presences: dict[str, Metas], diff: Diff) -> dict[str, Metas]:
    """The metas after a diff; those before stay as they are for whoever kept them.

    Source: phoenix 1.8.12, presence.ex, merge_diff/3.
    """
    merged = presences.copy()
    for key, presence in diff["joins"].items():
        merged[key] = merged.get(key, []) + presence.get("metas", [])
    for key, presence in diff["leaves"].items():
        left = presence.get("metas", [])
        merged[key] = [meta for meta in merged.get(key, []) if meta not in left]
    return {key: metas for key, metas in merged.items() if metas}


@contextmanager
def _logged(what: str, topic: str) -> Iterator[None]:
    """Log what user code raises and go on: the state is right, and others wait to hear of it."""
    try:
        yield
    except Exception:  # user code; the state is right without it
        log.exception("%s of %s failed", what, brief(topic))
