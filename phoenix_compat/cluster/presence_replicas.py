"""Replicates the presences of each node to all others.

Each node casts its changes. When a node comes up, or casts of it are missing, the others call it
for its full state. The reply arrives after the changes that it includes, so the copy is consistent
from then on. When a node ends, its presences leave at once, with a diff on each of their topics.
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

_RETRY_S: Final = 0.2

_Topics = dict[str, dict[str, list[dict[str, Any]]]]
_Metas = dict[str, list[dict[str, Any]]]
_change_decoder: Final = msgspec.json.Decoder(tuple[str, _Metas, _Metas])
_state_decoder: Final = msgspec.json.Decoder(_Topics)


class PresenceReplicas(NodeListener):
    """Keeps the copies of one Presence up to date. Each Presence needs its own name.

    Args:
        presence: created with `node=bus.node`, so that refs are unique across nodes.
        name: its name; the same on all nodes.
    """

    def __init__(self, presence: Presence, bus: Bus, name: str = "presence") -> None:
        self._presence = presence
        self._bus = bus
        self._kind = f"presence:{name}"
        self._reading: dict[int, BackgroundTask] = {}
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
        return tuple(task for task in self._reading.values() if task.is_running)

    def up(self, node: int) -> None:
        """Read the full state of the node."""
        self._stop_reading(node)
        self._unread.add(node)
        self._all_read.clear()
        name = f"{self._kind}-{node}"
        reading = BackgroundTask(name, partial(self._read, node), is_endless=False)
        reading.start()
        self._reading[node] = reading

    def gap(self, node: int) -> None:
        """Read the full state of the node, because a change may be missing."""
        self.up(node)

    def down(self, node: int) -> None:
        """Remove the presences of the node."""
        self._stop_reading(node)
        self._presence.replace(node, {})

    async def caught_up(self) -> None:
        """Return once the presences of every node that is up are known here."""
        while self._unread:
            await self._all_read.wait()

    def _cast_change(self, topic: str, joins: _Metas, leaves: _Metas) -> None:
        self._bus.cast(self._kind, jason.encode([topic, joins, leaves]))

    def _merge(self, node: int, body: bytes) -> None:
        self._presence.merge(node, *_change_decoder.decode(body))

    async def _reply_with_state(self, _node: int, _body: bytes) -> bytes:
        return jason.encode(self._presence.own_metas())

    async def _read(self, node: int) -> None:
        while True:
            try:
                await self._bus.call(node, self._kind, on_reply=partial(self._replace, node))
            except CallError as error:
                # The node may reply later; if it goes down, this task is cancelled.
                log.warning("cannot read the presences of node %d: %s", node, error)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    def _replace(self, node: int, body: bytes) -> None:
        self._presence.replace(node, _state_decoder.decode(body))
        self._is_read(node)

    def _is_read(self, node: int) -> None:
        self._unread.discard(node)
        if not self._unread:
            self._all_read.set()

    def _stop_reading(self, node: int) -> None:
        reading = self._reading.pop(node, None)
        if reading is not None:
            reading.cancel()
        self._is_read(node)
