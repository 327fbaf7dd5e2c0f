"""Makes an application a node of its cluster while it runs; for every web framework."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from phoenix_compat.cluster import Bus, Cluster, EndpointBus
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.errors import ConfigError
from phoenix_compat.transports.cluster_sessions import ClusterSessions
from phoenix_compat.transports.long_poll import LongPollHub

_sessions_of_bus: WeakKeyDictionary[Endpoint, ClusterSessions] = WeakKeyDictionary()
"""The applications of one endpoint share its bus, and so what the bus has a handler for."""


class ClusterMember:
    """What one mount has of the cluster: the bus of its endpoint, or a Cluster.

    Attributes:
        sessions: the long-poll sessions of all nodes, for the hubs.
    """

    def __init__(self, endpoint: Endpoint, cluster: Cluster | None) -> None:
        self._endpoint = endpoint
        self._cluster = cluster
        self._hubs: list[LongPollHub] = []
        self._has_joined = False
        self.sessions = (
            _sessions_of_bus.setdefault(endpoint, ClusterSessions())
            if cluster is None
            else ClusterSessions()
        )

    def add(self, hub: LongPollHub) -> None:
        """Answer for the sessions of this hub too."""
        self._hubs.append(hub)

    async def join(self) -> None:
        """Join the other nodes; call it before clients are accepted.

        Raises:
            ConfigError: see Cluster.open and EndpointBus.open.
        """
        bus = await self._open()
        self._has_joined = True
        self.sessions.attach(bus)
        for hub in self._hubs:
            self.sessions.add(hub)
        await bus.catch_up()

    async def leave(self) -> None:
        """Leave them, if it has joined; call it after the endpoint was closed."""
        if not self._has_joined:
            return  # the start has failed, or there was no request
        self._has_joined = False
        self.sessions.remove(self._hubs)
        if self._cluster is not None:
            await self._cluster.close()
        elif not await self._shared_bus.close():
            return  # another application of the endpoint still runs
        self.sessions.detach()

    async def _open(self) -> Bus:
        if self._cluster is not None:
            return await self._cluster.open(self._endpoint)
        return await self._shared_bus.open(self._endpoint)

    @property
    def _shared_bus(self) -> EndpointBus:
        if self._endpoint.shared_bus is None:
            raise ConfigError("the endpoint has no bus: write Endpoint(bus=...)")
        return self._endpoint.shared_bus


def member_of(endpoint: Endpoint, cluster: Cluster | None) -> ClusterMember | None:
    """What a mount has of the cluster; None if there is none."""
    if cluster is None and endpoint.bus is None:
        return None
    return ClusterMember(endpoint, cluster)
