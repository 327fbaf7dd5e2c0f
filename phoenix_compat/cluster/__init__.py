"""Runs several processes of one machine as one server: `--workers N`.

A Bus connects the processes over Unix sockets. PubSubRelay sends broadcasts over it, and
PresenceReplicas sends presences. A Supervisor starts the processes and restarts them when they die.
Start with `bus` and `supervisor`. Nothing here uses aiohttp.
"""

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.presence_replicas import PresenceReplicas
from phoenix_compat.cluster.relay import PubSubRelay
from phoenix_compat.cluster.worker_process import WorkerProcess

__all__ = ["Bus", "PresenceReplicas", "PubSubRelay", "WorkerProcess"]
