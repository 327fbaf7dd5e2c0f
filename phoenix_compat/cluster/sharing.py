"""What an endpoint shares with the other nodes of a bus: its broadcasts and its presences."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.presence_replicas import PresenceReplicas
from phoenix_compat.cluster.relay import PubSubRelay
from phoenix_compat.presence import Presence
from phoenix_compat.pubsub import PubSub


class SharedEndpoint(Protocol):
    """What the other nodes see of an endpoint."""

    pubsub: PubSub
    presences: list[Presence]


class Sharing:
    """Shares an endpoint from now on; create it before the bus is opened.

    The presences are those that the endpoint has now.
    """

    def __init__(self, endpoint: SharedEndpoint, bus: Bus) -> None:
        self._pubsub = endpoint.pubsub
        PubSubRelay(endpoint.pubsub, bus)
        self._replicas = [
            PresenceReplicas(presence, bus, name) for name, presence in _named(endpoint.presences)
        ]

    def close(self) -> None:
        """Share nothing any more, after the bus was closed: presences of other nodes leave."""
        self._pubsub.relay = None
        for replicas in self._replicas:
            replicas.close()


class EndpointBus:
    """The bus of an endpoint, open as long as one of its applications runs.

    Like its endpoint, it may be opened again, in any event loop.
    """

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._applications = 0
        self._sharing: Sharing | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether an application runs."""
        return self._sharing is not None

    async def open(self, endpoint: SharedEndpoint) -> Bus:
        """Open the bus for one more application.

        Raises:
            MissingExtraError: the driver of the broker is not installed.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._forget_loop()
            self._loop = loop
        async with self._turn:
            if self._sharing is None:
                sharing = Sharing(endpoint, self.bus)
                try:
                    await self.bus.__aenter__()
                except BaseException:
                    sharing.close()
                    raise
                self._sharing = sharing
            self._applications += 1
        return self.bus

    async def close(self) -> bool:
        """Close the bus if this was the last application; return whether it was."""
        async with self._turn:
            self._applications = max(self._applications - 1, 0)
            sharing = self._sharing
            if self._applications or sharing is None:
                return False
            self._sharing = None
            try:
                await self.bus.__aexit__(None, None, None)
            finally:
                sharing.close()
        return True

    def _forget_loop(self) -> None:
        """Begin anew after an event loop that was closed before its applications."""
        self._turn = asyncio.Lock()
        self._applications = 0
        sharing, self._sharing = self._sharing, None
        if sharing is not None:
            sharing.close()


def _named(presences: Iterable[Presence]) -> Iterator[tuple[str, Presence]]:
    """Each presence with a name that it has on all nodes: that of its class, and its place."""
    places: Counter[str] = Counter()
    for presence in presences:
        name = type(presence).__qualname__
        yield f"{name}-{places[name]}", presence
        places[name] += 1
