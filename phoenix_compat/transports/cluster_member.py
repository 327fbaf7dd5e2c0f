"""Takes part in a Cluster while an application runs; for every web framework."""

from __future__ import annotations

from phoenix_compat.cluster import Cluster
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.transports.cluster_sessions import ClusterSessions
from phoenix_compat.transports.long_poll import Sessions


class ClusterMember:
    """What one mount has of a Cluster.

    Attributes:
        sessions: the long-poll sessions of all processes, for the hubs.
    """

    def __init__(self, cluster: Cluster, endpoint: Endpoint, sessions: Sessions) -> None:
        self.sessions = ClusterSessions(sessions)
        self._cluster = cluster
        self._endpoint = endpoint

    async def join(self) -> None:
        """Join the other processes; call it before clients are accepted.

        Raises:
            ConfigError: see Cluster.open.
        """
        bus = await self._cluster.open(self._endpoint)
        self.sessions.attach(bus)
        await bus.catch_up()

    async def leave(self) -> None:
        """Leave them; call it after the endpoint was closed."""
        self.sessions.detach()
        await self._cluster.close()
