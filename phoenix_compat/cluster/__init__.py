"""Several processes of one machine that are one server: `--workers N`.

A Bus connects them over Unix sockets; PubSubRelay sends broadcasts over it, PresenceReplicas tells
who is where, and a Supervisor starts the processes and keeps them up.
"""

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.presence_replicas import PresenceReplicas
from phoenix_compat.cluster.relay import PubSubRelay
from phoenix_compat.cluster.worker_process import WorkerProcess

__all__ = ["Bus", "PresenceReplicas", "PubSubRelay", "WorkerProcess"]
