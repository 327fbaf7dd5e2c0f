"""Runs several processes of one machine as one server: `--workers N`, or the workers of gunicorn.

A Bus connects the processes over Unix sockets. PubSubRelay sends broadcasts over it, and
PresenceReplicas sends presences. A Supervisor starts the processes and restarts them when they die.
A Cluster
connects processes that another server has started. Start with `bus`, `cluster` and `supervisor`.
Nothing here uses aiohttp.
"""

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.cluster import Cluster
from phoenix_compat.cluster.presence_replicas import PresenceReplicas
from phoenix_compat.cluster.relay import PubSubRelay
from phoenix_compat.cluster.worker_process import WorkerProcess

__all__ = ["Bus", "Cluster", "PresenceReplicas", "PubSubRelay", "WorkerProcess"]
