"""Lists the presences of topics, and publishes a diff whenever they change.

Each track, untrack and update broadcasts one `presence_diff` on its topic. The end of a channel
broadcasts one on each of its topics, with all its keys. A diff always has both sides:

    {"joins": {"ann": {"metas": [{"phx_ref": "GOqcZ0f0foSI2BHh", …}]}}, "leaves": {}}

A diff is broadcast after the reply of the callback that caused it, or by the next `list`, whichever
comes first: with `track` and then `push("presence_state", presence.list(socket))` the diff comes
first.

Differs from Phoenix: diffs are broadcast on the event loop, so `fetch` is a plain function that
must not block. If it raises, the error is logged and the diff is sent without its additions; in
Phoenix the tracker crashes. A function given to `update` that raises crashes its own channel; in
Phoenix it runs in the tracker, and the channels that this has tracked crash with it.

Source: phoenix 1.8.12, lib/phoenix/presence.ex.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeAlias

from phoenix_compat.bounded import brief
from phoenix_compat.errors import ChannelDefinitionError, WrongThreadError
from phoenix_compat.presence.replicas import Replicas, Topics
from phoenix_compat.presence.tracker import Change, Key, Meta, Owner, Refs, Tracker, cast
from phoenix_compat.protocol.message import Payload

log = logging.getLogger(__name__)

PRESENCE_DIFF: Final = "presence_diff"

Metas: TypeAlias = list[Meta]

Presences: TypeAlias = dict[str, dict[str, Any]]
"""`{"ann": {"metas": [{"phx_ref": …, …}, …]}, …}`, with what `fetch` added next to `metas`."""

Diff: TypeAlias = dict[str, Presences]
"""`{"joins": presences, "leaves": presences}`."""


ChangeListener: TypeAlias = Callable[[str, dict[str, Metas], dict[str, Metas]], None]
"""Called with the topic, the joins and the leaves of a change. Must not block, raise, or modify its
arguments."""


class LocalBroadcaster(Protocol):
    """Broadcasts the diffs: an Endpoint, or anything with the same method."""

    def local_broadcast(self, topic: str, event: str, payload: Payload) -> object:
        """See Endpoint.local_broadcast."""


class Presence:
    """The presences of this process, and copies of those of the other processes of the server.

    Subclass it to override `fetch`, or to handle changes with `handle_metas`.

    Args:
        broadcaster: the endpoint.
        clock_ns: returns the time in nanoseconds, for refs.
        node: a number that makes the refs of this process unique; random by default. Its last 16
            bits count.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if _handles_metas(cls) and cls.init is Presence.init:
            raise ChannelDefinitionError(
                f"{cls.__name__} has handle_metas() but no init() that returns its initial state; "
                "add `def init(self): return {}`"
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
        registered: object = getattr(broadcaster, "presences", None)
        if isinstance(registered, list):
            registered.append(self)  # for a bus or a Cluster
            if getattr(getattr(broadcaster, "shared_bus", None), "is_open", False):
                log.warning(
                    "a %s was made after the application has started, so other nodes do not see "
                    "its presences; make it before",
                    type(self).__name__,
                )
        self._check_loop: Callable[[str], None] = getattr(broadcaster, "check_loop", _accept)
        self._tracker = Tracker(refs, self._changed)
        self._replicas = Replicas()
        self._change_listener: ChangeListener | None = None
        self._is_publishing = False
        self._is_deferring = False
        self._publishing_loop: asyncio.AbstractEventLoop | None = None
        self._unpublished: deque[Change] = deque()
        self._published: dict[str, dict[str, Metas]] = {}
        self._state = self.init()

    def __len__(self) -> int:
        """How many topics have a presence."""
        return len({*self._tracker.topics, *self._replicas.topics})

    def track(self, owner: Owner, key: Key, meta: Meta, *, topic: str | None = None) -> str:
        """Start a presence, which ends with its owner; return its `phx_ref`.

        Broadcasts `{"joins": {key: {"metas": [meta]}}, "leaves": {}}`.

        Args:
            owner: the socket of a channel, or a Guest.
            key: whom the presence represents; several owners may have the same key.
            meta: a dict of JSON values; a shallow copy of it is stored.
            topic: the topic; the owner's own by default.

        Raises:
            AlreadyTrackedError: this owner already tracks this key on this topic.
            InvalidPresenceError: the owner, the key or the meta cannot be tracked.
            EncodeError: the meta is not JSON.
            WrongThreadError: the caller is not in the event loop that serves the clients.
        """
        with self._deferring("track"):
            return self._tracker.track(owner, key, meta, topic)

    def untrack(self, owner: Owner, key: Key | None = None, *, topic: str | None = None) -> None:
        """End a presence; do nothing if there is none.

        Broadcasts `{"joins": {}, "leaves": {key: {"metas": [meta]}}}`. Without a key, all keys of
        the owner end: those on the given topic, or on every topic.

        Raises:
            InvalidPresenceError: the key is not a valid one.
        """
        with self._deferring("untrack"):
            self._tracker.untrack(owner, key, topic)

    def update(
        self,
        owner: Owner,
        key: Key,
        meta: Meta | Callable[[Meta], Meta],
        *,
        topic: str | None = None,
    ) -> str:
        """Replace the meta of a presence; return its new `phx_ref`.

        Broadcasts one diff: the new meta joins, with `phx_ref_prev`, and the old one leaves.

        Args:
            meta: the new meta, or a function from the old meta, refs included, to the new one.

        Raises:
            NotTrackedError: this owner does not track this key on this topic.
            InvalidPresenceError: the key or the meta cannot be tracked.
            EncodeError: the meta is not JSON.
            WrongThreadError: the caller is not in the event loop that serves the clients.
        """
        with self._deferring("update"):
            return self._tracker.update(owner, key, meta, topic)

    def list(self, topic: str | Owner) -> Presences:
        """All presences of a topic, or of an owner's topic, by key; `{}` if there are none.

        Diffs that wait are broadcast first, so a list never has what a later diff joins.
        """
        self._publish()
        name = _name_of(topic)
        return self.fetch(name, _presences(self.metas(name)))

    def get_by_key(self, topic: str | Owner, key: Key) -> dict[str, Any] | None:
        """The entry of `list` for a key. None if there is none; Phoenix returns `[]` then."""
        self._publish()
        name = _name_of(topic)
        metas = self._tracker.metas(name, key) + self._replicas.metas(name, cast(key))
        return self.fetch(name, _presences({cast(key): metas}))[cast(key)] if metas else None

    def metas(self, topic: str) -> dict[str, Metas]:
        """The metas of a topic by key, of all processes, for tools that show them.

        Unlike `list`, it changes nothing: diffs that wait go on waiting. Do not modify the metas.
        """
        metas = self._tracker.all_metas(topic)
        for key, others in self._replicas.all_metas(topic).items():
            metas.setdefault(key, []).extend(others)
        return metas

    # Other processes; see cluster.PresenceReplicas.

    def on_own_change(self, listener: ChangeListener) -> None:
        """Call a function with each change of this process: topic, joins, leaves."""
        self._change_listener = listener

    def own_metas(self) -> Topics:
        """All metas that this process tracks, by topic and key."""
        return self._tracker.all_topics()

    def merge(
        self, node: int, topic: str, joins: dict[str, Metas], leaves: dict[str, Metas]
    ) -> None:
        """Apply a change of another process, and broadcast it in this one."""
        self._add_changes(self._replicas.apply(node, topic, joins, leaves))

    def replace(self, node: int, topics: Topics) -> None:
        """Replace the copy of what another process tracks, and broadcast the differences.

        Args:
            topics: its metas; empty if the process has ended.
        """
        self._add_changes(self._replicas.replace(node, topics))

    def _add_changes(self, changes: Sequence[Change]) -> None:
        self._tracker.changes.extend(changes)
        self._changed()

    # Callbacks for subclasses.

    def fetch(self, topic: str, presences: Presences) -> Presences:
        """Add fields next to `metas`: `{"ann": {"metas": […], "user": {…}}}`.

        Called for each list, and for the joins and then for the leaves of each diff, even if they
        are `{}`. It may modify `presences`. It must not block.
        """
        del topic
        return presences

    def init(self) -> Any:
        """The initial state for `handle_metas`; required if that is overridden."""
        return None

    def handle_metas(
        self, topic: str, diff: Diff, presences: Mapping[str, Metas], state: Any
    ) -> Any:
        """Called after each diff; returns the next state. It must not block.

        Args:
            diff: the diff that was broadcast.
            presences: the topic's metas after the diff, by key, in the order of their joins.
        """
        del topic, diff, presences
        return state

    # Publishing. Other processes hear of a change at once, so that what they are told fits to what
    # they read. Clients get the diff of a track, update or untrack after the reply of the callback
    # that made it, but before a list that has it already; and the diff of an end at once.

    @contextmanager
    def _deferring(self, function: str) -> Iterator[None]:
        self._check_loop(f"presence.{function}")
        self._is_deferring = True
        try:
            yield
        finally:
            self._is_deferring = False

    def _changed(self) -> None:
        is_waiting = bool(self._unpublished)
        while self._tracker.changes:
            change = self._tracker.changes.popleft()
            self._unpublished.append(change)
            if self._change_listener is not None and change.is_own:
                self._change_listener(change.topic, change.joins, change.leaves)
        loop = _running_loop() if self._is_deferring else None
        if loop is None:  # without a loop, no callback can be waiting for its reply
            self._publish()
        elif not is_waiting or self._publishing_loop is not loop:  # the other one may be closed
            self._publishing_loop = loop
            loop.call_soon(self._publish)

    def _publish(self) -> None:
        if self._is_publishing:
            return  # changes of its own callbacks follow, so that all subscribers get one order
        try:
            self._check_loop("presence.list")
        except WrongThreadError:
            return  # a thread that only reads; the event loop publishes
        self._is_publishing = True
        try:
            while self._unpublished:
                self._publish_change(self._unpublished.popleft())
        finally:
            self._is_publishing = False

    def _publish_change(self, change: Change) -> None:
        topic = change.topic
        diff = {
            "joins": self._fetched(topic, change.joins),
            "leaves": self._fetched(topic, change.leaves),
        }
        with _log_errors(PRESENCE_DIFF, topic):
            self._broadcaster.local_broadcast(topic, PRESENCE_DIFF, diff)
        if _handles_metas(type(self)):
            with _log_errors("handle_metas", topic):
                self._call_handle_metas(topic, diff)

    def _call_handle_metas(self, topic: str, diff: Diff) -> None:
        presences = _merge(self._published.pop(topic, {}), diff)
        if presences:
            self._published[topic] = presences
        self._state = self.handle_metas(topic, diff, presences, self._state)

    def _fetched(self, topic: str, metas: dict[str, Metas]) -> Presences:
        try:
            return self.fetch(topic, _presences(metas))
        except Exception:  # user code; the diff is sent without its additions
            log.exception("fetch of %s failed", brief(topic))
            return _presences(metas)


def _accept(function: str) -> None:
    """The check of a broadcaster that may be called from anywhere."""


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _handles_metas(presence: type[Presence]) -> bool:
    return presence.handle_metas is not Presence.handle_metas


def _name_of(topic: str | Owner) -> str:
    return topic if isinstance(topic, str) else str(topic.topic)


def _presences(metas: dict[str, Metas]) -> Presences:
    """Metas in the form of a list or of one side of a diff; copies, because users may modify it."""
    return {
        key: {"metas": [meta.copy() for meta in metas_of_key]}
        for key, metas_of_key in metas.items()
    }


def _merge(presences: dict[str, Metas], diff: Diff) -> dict[str, Metas]:
    """The metas after a diff. The metas before it are not modified, because users may keep them.

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
def _log_errors(name: str, topic: str) -> Iterator[None]:
    """Log errors of user code and continue: the state is correct, and the other changes wait."""
    try:
        yield
    except Exception:  # user code; the state is correct without it
        log.exception("%s of %s failed", name, brief(topic))
