"""Presence on every node: each tells its changes, and what it has to whoever asks for all of it.

A node that is new, back, or missed something is asked for everything it tracks; its answer comes
behind the changes that it contains, so that the copy is right from there on. The presences of a
node that is gone leave at once, with a diff on every topic they were on.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, Final

import msgspec

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster.bus import Bus, CallError, NodeListener
from phoenix_compat.presence import Presence
from phoenix_compat.protocol import jason

log = logging.getLogger(__name__)

_RETRY_S: Final = 0.2

_Topics = dict[str, dict[str, list[dict[str, Any]]]]
_Metas = dict[str, list[dict[str, Any]]]
_change_decoder: Final = msgspec.json.Decoder(tuple[str, _Metas, _Metas])
_state_decoder: Final = msgspec.json.Decoder(_Topics)


class PresenceReplicas(NodeListener):
    """Keeps the copies of one Presence true. Give each Presence a name of its own.

    Args:
        presence: made with `node=bus.node`, so that no two nodes draw one ref.
        name: the same on all nodes.
    """

    def __init__(self, presence: Presence, bus: Bus, name: str = "presence") -> None:
        self._presence = presence
        self._bus = bus
        self._kind = f"presence:{name}"
        self._reading: dict[int, BackgroundTask] = {}
        self._unread: set[int] = set()
        self._all_read = asyncio.Event()
        self._all_read.set()
        presence.share(self._share)
        bus.on_cast(self._kind, self._merge)
        bus.on_call(self._kind, self._tell_all)
        bus.listen(self)

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The tasks that read from other nodes just now."""
        return tuple(one for one in self._reading.values() if one.is_running)

    def up(self, node: int) -> None:
        """Ask for all that it tracks."""
        self._stop_reading(node)
        self._unread.add(node)
        self._all_read.clear()
        name = f"{self._kind}-{node}"
        reading = BackgroundTask(name, partial(self._read, node), is_endless=False)
        reading.start()
        self._reading[node] = reading

    def gap(self, node: int) -> None:
        """The same: a change may be missing."""
        self.up(node)

    def down(self, node: int) -> None:
        """Whoever was there is gone."""
        self._stop_reading(node)
        self._presence.replace(node, {})

    async def caught_up(self) -> None:
        """Back once the presences of every node that is up are known here."""
        while self._unread:
            await self._all_read.wait()

    def _share(self, topic: str, joins: _Metas, leaves: _Metas) -> None:
        self._bus.cast(self._kind, jason.encode([topic, joins, leaves]))

    def _merge(self, node: int, body: bytes) -> None:
        self._presence.merge(node, *_change_decoder.decode(body))

    async def _tell_all(self, _node: int, _body: bytes) -> bytes:
        return jason.encode(self._presence.own_metas())

    async def _read(self, node: int) -> None:
        while True:
            try:
                await self._bus.call(node, self._kind, take=partial(self._replace, node))
            except CallError as error:
                # As long as it is up it may answer; when it goes down this task is cancelled.
                log.warning("the presences of node %d cannot be read: %s", node, error)
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
