"""Several processes or machines as one server: `--workers N`, the workers of gunicorn, many nodes.

A Bus connects the nodes: a UnixBus those of one machine, a BrokerBus those of many, through a
broker. Siblings are processes of one machine that share a connection to it. PubSubRelay sends
broadcasts over a bus, and PresenceReplicas sends presences. A Supervisor starts processes and
restarts them when they die. A Cluster connects processes that another server has started, and an
EndpointBus those that have a bus of their own. Start with `bus`, then `unix`, `brokers`,
`siblings`, `sharing`, `cluster` and `workers`. Nothing here uses aiohttp.
"""

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.cluster import Cluster
from phoenix_compat.cluster.node_listener import NodeListener
from phoenix_compat.cluster.presence_replicas import PresenceReplicas
from phoenix_compat.cluster.relay import PubSubRelay
from phoenix_compat.cluster.sharing import EndpointBus
from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.cluster.workers import WorkerProcess

__all__ = [
    "Bus",
    "Cluster",
    "EndpointBus",
    "NodeListener",
    "PresenceReplicas",
    "PubSubRelay",
    "UnixBus",
    "WorkerProcess",
]
