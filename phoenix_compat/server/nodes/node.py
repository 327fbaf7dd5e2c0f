"""One node of several that share a store; see Topology."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from functools import partial
from typing import Final, Self

from aiohttp import web

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster import Bus, PresenceReplicas, PubSubRelay, WorkerProcess
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.presence import Presence
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.metrics.families import Family
from phoenix_compat.server.nodes.node_families import NodeNumbers, node_families
from phoenix_compat.server.nodes.node_feed import NodeFeed
from phoenix_compat.server.nodes.node_id import node_id
from phoenix_compat.server.nodes.node_keys import NodeKeys
from phoenix_compat.server.nodes.node_processes import NodeProcesses
from phoenix_compat.server.nodes.node_worker import NodeWorker
from phoenix_compat.server.nodes.shared_secrets import shared_secret
from phoenix_compat.server.process.listening import LISTENING_URL
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.topology import StartedParts, Topology
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.task_types import TaskType
from phoenix_compat.tasks.store.leases.lease_store import LeaseStore, Node
from phoenix_compat.tasks.store.postgres.clock import DatabaseClock
from phoenix_compat.tasks.store.sqlite.database_file import lock_file
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.transports.aiohttp import mount
from phoenix_compat.version import __version__

CLOCK_S: Final = 30.0
"""How often the database is asked for the time."""
_SECRET: Final = "secret_key_base"  # noqa: S105 - its name


class NodeTopology(Topology):
    """This process as a node; `start` opens the bus.

    Args:
        bus: not open yet.
        settings: have `database_url`.
        worker_process: its place among the processes of this machine that share the port; None if
            this is the only one.
    """

    opens_store = True

    def __init__(
        self, bus: Bus, settings: Settings, worker_process: WorkerProcess | None = None
    ) -> None:
        self.size = None if worker_process is None else worker_process.size
        self.takes_commands = worker_process is None or worker_process.node == 0
        self._settings = settings
        self._bus = bus
        self.processes = NodeProcesses(bus, _place_of(worker_process))
        self._app: web.Application | None = None
        self._store: TaskStore | None = None
        self._feed: NodeFeed | None = None
        self._keys: NodeKeys | None = None
        self._worker: NodeWorker | None = None
        self._replicas: list[PresenceReplicas] = []
        self._clock = BackgroundTask("clock", self._ask_for_the_time)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take the data directory, which no other server may use.

        Raises:
            StoreInUseError: another server does.
            StoreOpenError: it cannot be created or written.
        """
        if self.takes_commands:
            path = self._settings.database_path
            lock = await asyncio.to_thread(partial(lock_file, path, create=False))
            self._stack.callback(lock.close)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def node(self) -> int:
        """See Topology."""
        return self._bus.node

    @property
    def bus_counts(self) -> dict[str, int]:
        """See BusCounts."""
        return asdict(self._bus.counts)

    @property
    def count(self) -> int:
        """See Topology."""
        return 1 + len(self._bus.up)

    @property
    def bus_problem(self) -> str | None:
        """See Topology."""
        if not self._bus.is_deaf:
            return None
        return "this node hears nothing from the bus, not even itself"

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks of the bus, the feed, the keys and the presence replicas."""
        feed = () if self._feed is None else self._feed.background
        keys = () if self._keys is None else self._keys.background
        replicas = (task for one in self._replicas for task in one.background)
        return (*self._bus.background, self._clock, *feed, *keys, *replicas)

    def families(self) -> Sequence[Family]:
        """See Topology."""
        counts = (
            {} if self._feed is None else asdict(self._feed.hint_counts),
            {} if self._keys is None else asdict(self._keys.counts),
            {} if self._worker is None else asdict(self._worker.counts),
        )
        clock = None if self._store is None else self._store.clock
        return node_families(
            NodeNumbers(
                up=self.count,
                is_deaf=self._bus.is_deaf,
                skew_s=getattr(clock, "skew_s", 0.0),
                hints={
                    f"{what}_{name}": count
                    for what, of_one in zip(("task", "key", "run"), counts, strict=True)
                    for name, count in of_one.items()
                },
            )
        )

    async def prepare(self, store: TaskStore) -> None:
        """See Topology; all nodes have the secret from the store."""
        self._store = store
        name = f"{socket.gethostname()}:{os.getpid()}"
        this = Node(node_id(self._bus.node), name, __version__)
        self.leases = LeaseStore(store, this, store.clock)
        self.secret_key_base = await shared_secret(store, _SECRET)

    def feed(
        self, store: TaskStore, endpoint: Endpoint, task_types: Mapping[str, TaskType]
    ) -> NodeFeed:
        """Build the feed of tasks, and relay all broadcasts of this endpoint to every node."""
        PubSubRelay(endpoint.pubsub, self._bus)
        self._feed = NodeFeed(store, endpoint, self._bus, task_types)
        return self._feed

    def worker_client(self, worker: Worker) -> NodeWorker:
        """See Topology."""
        assert self._store is not None  # noqa: S101 - `prepare` comes first
        if worker.renewal is not None:
            worker.renewal.is_deaf = self._before_renewal
        self._worker = NodeWorker(worker, self._store, self._bus)
        return self._worker

    def keys(self, keys: KeyStore, endpoint: Endpoint) -> NodeKeys:
        """Build the lookup of API keys, which every node has in memory."""
        secret = self.secret_key_base
        assert secret is not None  # noqa: S101 - `prepare` comes first
        self._keys = NodeKeys(keys, endpoint, self._bus, secret=secret)
        return self._keys

    async def share_lent(self, sha256: str) -> None:
        """See Topology."""
        if self._keys is not None:
            await self._keys.share_lent(sha256)

    def presence(self, endpoint: Endpoint) -> Presence:
        """Build a presence that includes the clients of every node."""
        presence = Presence(endpoint)
        self._replicas.append(PresenceReplicas(presence, self._bus))
        return presence

    def share(self, presences: Iterable[Presence]) -> None:
        """Include the clients of every node in further presences, the same in each node."""
        self._replicas += [
            PresenceReplicas(presence, self._bus, f"own-{index}")
            for index, presence in enumerate(presences)
        ]

    def mount(self, app: web.Application, endpoint: Endpoint) -> None:
        """See Topology; requests for sessions of other nodes are passed on over the bus."""
        mount(app, endpoint, bus=self._bus)

    async def start(self, parts: StartedParts, stack: AsyncExitStack) -> None:
        """Hear the other nodes, then work, and read again what may have been missed."""
        self._app = parts.app
        await self._stack.enter_async_context(self._bus)  # all handlers are set by now
        await self._bus.catch_up()
        self._clock.start()
        stack.push_async_callback(self._clock.stop)
        await parts.work()
        if self._keys is not None:
            self._keys.start()
            stack.push_async_callback(self._keys.stop)
        if self._feed is not None:
            self._feed.start()
            stack.push_async_callback(self._feed.stop)

    def _before_renewal(self) -> bool:
        """Tell the store where this node listens; returns whether it hears nothing."""
        if self._app is not None and self.leases is not None:
            self.leases.node = self.leases.node._replace(url=self._app[LISTENING_URL].url)
        return self._bus.is_deaf

    async def _ask_for_the_time(self) -> None:
        """Follow the database's clock, from which this machine's drifts away."""
        while True:
            await asyncio.sleep(CLOCK_S)
            if self._store is not None and isinstance(self._store.clock, DatabaseClock):
                with suppress(StoreUnavailableError):
                    await self._store.clock.measure(self._store.database)


def _place_of(worker_process: WorkerProcess | None) -> str | None:
    """What only the processes of one supervisor have: the secret that it gave them, as a hash."""
    if worker_process is None:
        return None
    return hashlib.sha256(worker_process.secret_key_base.encode()).hexdigest()
