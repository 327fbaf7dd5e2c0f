"""Connects one process of the task server to the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Self

from aiohttp import web

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster import PresenceReplicas, PubSubRelay, UnixBus, WorkerProcess
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.presence import Presence
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.channel.task_channel import Canceller
from phoenix_compat.server.http.tasks.worker_client import WorkerClient
from phoenix_compat.server.multiprocess.forwarding import forwarding
from phoenix_compat.server.multiprocess.leader import Leader
from phoenix_compat.server.multiprocess.other_processes import BusProcesses
from phoenix_compat.server.multiprocess.shared_feed import SharedFeed
from phoenix_compat.server.multiprocess.shared_keys import SharedKeys
from phoenix_compat.server.topology import StartedParts, Topology
from phoenix_compat.tasks.model.task_types import TaskType
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.transports.aiohttp import mount
from phoenix_compat.transports.aiohttp.peers import Peers


class Cluster(Topology):
    """One process of several with a leader; see Topology. `start` opens the bus."""

    opens_store = False

    def __init__(self, worker_process: WorkerProcess) -> None:
        self.size = worker_process.size
        self.secret_key_base = worker_process.secret_key_base
        self._peers = Peers(worker_process.node, worker_process.size, worker_process.http_path)
        self._bus = UnixBus(worker_process.path, worker_process.node, worker_process.size)
        self.processes = BusProcesses(self._bus)
        self._feed: SharedFeed | None = None
        self._keys: SharedKeys | None = None
        self._leader: Leader | None = None
        self._replicas: list[PresenceReplicas] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._peers)
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
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks of the bus, the feed, the keys and the presence replicas."""
        feed = () if self._feed is None else self._feed.background
        keys = () if self._keys is None else self._keys.background
        replicas = (task for one in self._replicas for task in one.background)
        return (*self._bus.background, *feed, *keys, *replicas)

    def feed(
        self, store: TaskStore, endpoint: Endpoint, task_types: Mapping[str, TaskType]
    ) -> SharedFeed:
        """Build the feed of tasks, and relay all broadcasts of this endpoint to every process."""
        PubSubRelay(endpoint.pubsub, self._bus)
        self._feed = SharedFeed(store, endpoint, self._bus, task_types)
        return self._feed

    def canceller(self, client: WorkerClient) -> Canceller:
        """The feed, which calls the worker in the process that leads."""
        return client if self._feed is None else self._feed

    def keys(self, keys: KeyStore, endpoint: Endpoint) -> SharedKeys:
        """Build the lookup of API keys, which are in the process that has the database."""
        self._keys = SharedKeys(keys, endpoint, self._bus)
        return self._keys

    def presence(self, endpoint: Endpoint) -> Presence:
        """Build a presence that includes the clients of every process."""
        presence = Presence(endpoint, node=self._bus.node)
        self._replicas.append(PresenceReplicas(presence, self._bus))
        return presence

    def share(self, presences: Iterable[Presence]) -> None:
        """Include the clients of every process in further presences, the same in each process."""
        self._replicas += [
            PresenceReplicas(presence, self._bus, f"own-{index}")
            for index, presence in enumerate(presences)
        ]

    def mount(self, app: web.Application, endpoint: Endpoint) -> None:
        """See Topology; requests for sessions of other processes are forwarded."""
        mount(app, endpoint, peers=self._peers)

    async def start(self, parts: StartedParts, stack: AsyncExitStack) -> None:
        """Take part in the election; returns once there is a leader and the other nodes are heard.

        A process that becomes the leader opens the store and works.
        """

        async def take_over() -> None:
            await parts.open_store()
            await parts.work()

        self._leader = Leader(self._bus, take_over)
        if self._feed is not None:
            self._feed.begin(self._leader, parts.worker)
        if self._keys is not None:
            self._keys.begin(self._leader)
        app = parts.app
        app.middlewares.append(forwarding(self._leader, self._peers, parts.bodies, parts.is_well))
        app.on_shutdown.append(self._leader.retire)  # a process that stops must not take over
        await self._stack.enter_async_context(self._bus)  # all handlers are set by now
        await self._leader.start()
        await self._bus.catch_up()
        stack.push_async_callback(self._stop)

    async def _stop(self) -> None:
        """Leave the election; the worker and the database are closed by their owner.

        Raises:
            Exception: why this process could not take over, if that is why it stops.
        """
        if self._feed is not None:
            await self._feed.stop()
        if self._keys is not None:
            await self._keys.stop()
        if self._leader is not None:
            await self._leader.stop()
