"""Makes the bus that the settings name."""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import urlsplit

from phoenix_compat.cluster import WorkerProcess
from phoenix_compat.cluster.brokers import Broker, BrokerBus
from phoenix_compat.cluster.brokers.addresses import INBOX_BITS
from phoenix_compat.cluster.brokers.drivers.nats_broker import NatsBroker
from phoenix_compat.cluster.brokers.drivers.postgres_broker import PostgresBroker
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBroker
from phoenix_compat.cluster.siblings import SharedBroker
from phoenix_compat.server.database import bus_url_of
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.nodes import NATS_SCHEMES, REDIS_SCHEMES

MAX_CALLS: Final = 10_000
"""The limit of long-poll requests that wait at one other node; one more begins a new session."""


def make_bus(settings: Settings, worker_process: WorkerProcess | None = None) -> BrokerBus:
    """The bus of this node; it is not open yet. Raises as `make_broker`.

    Args:
        worker_process: its place among the processes of this machine that share the connection to
            the broker; None if it has one of its own.
    """
    broker, prefix = make_broker(settings), settings.bus_prefix
    if worker_process is None:
        return BrokerBus(broker, prefix=prefix, max_calls=MAX_CALLS)
    inboxes = [_inbox(worker_process, number) for number in range(worker_process.size)]
    shared = SharedBroker(broker, worker_process.path, prefix=prefix, inboxes=inboxes)
    bus = BrokerBus(shared, prefix=prefix, max_calls=MAX_CALLS, inbox=inboxes[worker_process.node])
    shared.counts = bus.counts
    return bus


def _inbox(worker_process: WorkerProcess, number: int) -> int:
    """The inbox of a process of this supervisor: random for others, and the same in all of it."""
    text = f"inbox {number} {worker_process.secret_key_base}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest) >> (8 * len(digest) - INBOX_BITS)


def make_broker(settings: Settings) -> Broker:
    """The broker of the bus; there is no connection yet.

    Raises:
        ConfigError: its driver is not installed, or the URL cannot be used.
    """
    url = bus_url_of(settings)
    scheme = urlsplit(url).scheme
    if scheme in REDIS_SCHEMES:
        return RedisBroker(url)
    return NatsBroker(url) if scheme in NATS_SCHEMES else PostgresBroker(url)
