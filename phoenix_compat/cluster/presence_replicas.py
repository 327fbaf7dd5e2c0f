"""Replicates the presences of each node to all others.

Each node counts the changes of its own presences, and casts each change with its number. A copy of
another node's presences has the number of the last change that it includes, so a change that
arrives twice or late is recognised, and a missing one too. The copy is then made complete by a
call, which is answered with the whole state, or with nothing if the caller has all of it.

    up      the state is read: of a node that has started, or that can be heard again
    gap     casts are missing: the state is read again, unless nothing of it is
    down    the presences of the node leave, with one diff on each of their topics

Each node alone decides about its own presences. So nodes that could not hear each other for a while
agree again once they can.

Source: phoenix_pubsub 2.2.0, lib/phoenix/tracker/shard.ex.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, Final

import msgspec

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster.bus import Bus, CallError
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.presence import Presence
from phoenix_compat.protocol import jason

log = logging.getLogger(__name__)

MAX_EARLY: Final = 1_000
"""The limit of changes of one node that wait for its state; later ones are read with the state."""
FIRST_RETRY_S: Final = 0.2
LAST_RETRY_S: Final = 5.0

_Metas = dict[str, list[dict[str, Any]]]


class _Change(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One change of a node's own presences; further elements are ignored."""

    number: int
    topic: str
    joins: _Metas
    leaves: _Metas


class _State(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """All presences of a node after a change; `topics` is None if the caller has them."""

    number: int
    topics: dict[str, _Metas] | None


_change_decoder: Final = msgspec.json.Decoder(_Change)
_state_decoder: Final = msgspec.json.Decoder(_State)
_number_decoder: Final = msgspec.json.Decoder(int | None)


class _Copy:
    """What is known of the presences of one node.

    Attributes:
        number: the last change that the copy includes, as it does all before it; None if the state
            was not read yet.
        newest: the highest number of a change that was received.
        early: changes that arrived before an earlier one.
        has_gap: whether changes may be missing.
        reading: reads the state; None if that is not needed.
    """

    __slots__ = ("early", "has_gap", "newest", "number", "reading")

    def __init__(self) -> None:
        self.number: int | None = None
        self.newest = 0
        self.early: dict[int, _Change] = {}
        self.has_gap = False
        self.reading: BackgroundTask | None = None

    @property
    def is_incomplete(self) -> bool:
        """Whether the state must be read."""
        return self.number is None or self.has_gap or self.number < self.newest


class PresenceReplicas(NodeListener):
    """Keeps the copies of one Presence up to date. Each Presence needs its own name.

    Args:
        presence: the presence; the refs of each node are unique.
        name: its name; the same on all nodes.
        first_retry_s: how long to wait after a call that has failed, or was not enough; each
            further wait is twice as long, up to LAST_RETRY_S.
    """

    def __init__(
        self,
        presence: Presence,
        bus: Bus,
        name: str = "presence",
        *,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self._presence = presence
        self._bus = bus
        self._kind = f"presence:{name}"
        self._first_retry_s = first_retry_s
        self._number = 0
        self._state: bytes | None = None
        self._is_closed = False
        self._copies: dict[int, _Copy] = {}
        self._unread: set[int] = set()
        self._all_read = asyncio.Event()
        self._all_read.set()
        presence.on_own_change(self._cast_change)
        bus.on_cast(self._kind, self._merge)
        bus.on_call(self._kind, self._reply_with_state)
        bus.listen(self)

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The tasks that are reading the state of other nodes."""
        readings = (copy.reading for copy in self._copies.values())
        return tuple(task for task in readings if task is not None and task.is_running)

    def close(self) -> None:
        """Remove the presences of all other nodes, and replicate nothing any more."""
        self._is_closed = True
        self._presence.on_own_change(_ignore)
        for node in tuple(self._copies):
            self.down(node)

    def up(self, node: int) -> None:
        """Read the full state of the node."""
        if self._is_closed:
            return
        self._forget(node)
        copy = self._copies[node] = _Copy()
        self._read_state(node, copy)

    def gap(self, node: int) -> None:
        """Read the state of the node, because a change may be missing."""
        copy = self._copies.get(node)
        if copy is None:
            self.up(node)
            return
        copy.has_gap = True
        self._read_state(node, copy)

    def down(self, node: int) -> None:
        """Remove the presences of the node."""
        self._forget(node)
        self._presence.replace(node, {})

    async def caught_up(self) -> None:
        """Return once the presences of every node that is up are known here."""
        while self._unread:
            await self._all_read.wait()

    # The presences of this node.

    def _cast_change(self, topic: str, joins: _Metas, leaves: _Metas) -> None:
        self._number += 1
        self._state = None
        self._bus.cast(self._kind, jason.encode([self._number, topic, joins, leaves]))

    async def _reply_with_state(self, _node: int, body: bytes) -> bytes:
        if _number_decoder.decode(body) == self._number:
            return jason.encode([self._number, None])
        if self._state is None:  # all nodes ask at once after a split
            self._state = jason.encode([self._number, self._presence.own_metas()])
        return self._state

    # The presences of other nodes.

    def _merge(self, node: int, body: bytes) -> None:
        copy = self._copies.get(node)
        if copy is None:
            return  # the node is not up here: its state is read when it is
        change = _change_decoder.decode(body)
        copy.newest = max(copy.newest, change.number)
        if copy.number is not None and change.number <= copy.number:
            return
        if len(copy.early) < MAX_EARLY:
            copy.early[change.number] = change
        self._merge_early(node, copy)
        if copy.is_incomplete:
            self._read_state(node, copy)

    def _merge_early(self, node: int, copy: _Copy) -> None:
        """Apply the changes that follow those which the copy includes."""
        if copy.number is None:
            return
        while (change := copy.early.pop(copy.number + 1, None)) is not None:
            self._presence.merge(node, change.topic, change.joins, change.leaves)
            copy.number = change.number

    def _read_state(self, node: int, copy: _Copy) -> None:
        """Read the state of a node, unless that is being done."""
        if copy.reading is not None:
            return
        self._unread.add(node)
        self._all_read.clear()
        reading = partial(self._read_until_complete, node, copy)
        copy.reading = BackgroundTask(f"{self._kind}-{node}", reading, is_endless=False)
        copy.reading.start()

    async def _read_until_complete(self, node: int, copy: _Copy) -> None:
        retry_s = self._first_retry_s
        while copy.is_incomplete:
            copy.has_gap = False
            try:
                await self._bus.call(
                    node,
                    self._kind,
                    jason.encode(copy.number),
                    on_reply=partial(self._take_state, node, copy),
                )
            except CallError as error:
                # The node may reply later; if it goes down, this task is cancelled.
                if retry_s == self._first_retry_s:
                    log.warning("cannot read the presences of node %d: %s", node, error)
                copy.has_gap = True
            except BaseException:
                copy.has_gap = True
                raise
            if copy.is_incomplete:
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, LAST_RETRY_S)
        copy.reading = None
        self._is_read(node)

    def _take_state(self, node: int, copy: _Copy, body: bytes) -> None:
        state = _state_decoder.decode(body)
        if copy.number is not None and state.number < copy.number:
            return  # later changes have arrived before it
        if state.topics is not None:
            self._presence.replace(node, state.topics)
        copy.number = state.number
        copy.newest = max(copy.newest, state.number)
        copy.early = {
            number: change for number, change in copy.early.items() if number > state.number
        }
        self._merge_early(node, copy)

    def _forget(self, node: int) -> None:
        copy = self._copies.pop(node, None)
        if copy is not None and copy.reading is not None:
            copy.reading.cancel()
        self._is_read(node)

    def _is_read(self, node: int) -> None:
        self._unread.discard(node)
        if not self._unread:
            self._all_read.set()


def _ignore(_topic: str, _joins: object, _leaves: object) -> None:
    """A change that nobody replicates."""
