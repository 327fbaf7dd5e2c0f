"""A process of several: what the task server needs of the others, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from types import TracebackType
from typing import Self

from aiohttp import web

from phoenix_compat.background import BackgroundTask
from phoenix_compat.cluster import Bus, PresenceReplicas, PubSubRelay, WorkerProcess
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.presence import Presence
from phoenix_compat.server.multiprocess.forwarding import forwarding
from phoenix_compat.server.multiprocess.leader import Leader
from phoenix_compat.server.multiprocess.shared_feed import SharedFeed
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.transports.aiohttp.peers import Peers


class Cluster:
    """This process's links to the others: the bus opens with `start`, all closes with the block."""

    def __init__(self, worker_process: WorkerProcess) -> None:
        self.peers = Peers(worker_process.node, worker_process.size, worker_process.http_path)
        self._bus = Bus(worker_process.path, worker_process.node, worker_process.size)
        self._feed: SharedFeed | None = None
        self._leader: Leader | None = None
        self._replicas: PresenceReplicas | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.peers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def bus_counts(self) -> dict[str, int]:
        """See BusCounts."""
        return asdict(self._bus.counts)

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The tasks that keep this process and the others one server."""
        feed = () if self._feed is None else self._feed.background
        replicas = () if self._replicas is None else self._replicas.background
        return (*self._bus.background, *feed, *replicas)

    def feed(self, store: TaskStore, endpoint: Endpoint) -> SharedFeed:
        """What clients of tasks hear, and all broadcasts of this endpoint, in every process."""
        PubSubRelay(endpoint.pubsub, self._bus)
        self._feed = SharedFeed(store, endpoint, self._bus)
        return self._feed

    def presence(self, endpoint: Endpoint) -> Presence:
        """Who is there, in any process."""
        presence = Presence(endpoint, node=self._bus.node)
        self._replicas = PresenceReplicas(presence, self._bus)
        return presence

    async def start(
        self,
        app: web.Application,
        worker: Worker,
        take_over: Callable[[], Awaitable[None]],
        is_well: Callable[[], bool],
    ) -> None:
        """Take part in keeping; back once some process keeps the tasks and the others are heard.

        Args:
            take_over: see Leader.
            is_well: whether all that this process does in the background is done.
        """
        self._leader = Leader(self._bus, take_over)
        if self._feed is not None:
            self._feed.begin(self._leader, worker)
        app.middlewares.append(forwarding(self._leader, self.peers, is_well))
        app.on_shutdown.append(self._leader.retire)  # who stops does not take over any more
        await self._stack.enter_async_context(self._bus)  # by now all that is heard has a handler
        await self._leader.start()
        await self._bus.catch_up()

    async def stop(self) -> None:
        """Keep no more; the worker and the database are closed by their owner.

        Raises:
            Exception: why this process could not take over, if that ended it.
        """
        if self._feed is not None:
            await self._feed.stop()
        if self._leader is not None:
            await self._leader.stop()
