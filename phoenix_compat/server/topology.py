"""How the processes of one server work together: one alone, or several.

`Alone` is one process. `multiprocess.cluster` has several processes with one leader, `nodes.node`
equal ones on any machines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiohttp import web

from phoenix_compat.background import BackgroundTask
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.presence import Presence
from phoenix_compat.server.auth.keys.api_keys import ApiKeys
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.channel.task_channel import Canceller
from phoenix_compat.server.http.tasks.worker_client import WorkerClient
from phoenix_compat.server.http.uploads.spooled_bodies import SpooledBodies
from phoenix_compat.server.inspection.processes import OneProcess, Processes
from phoenix_compat.server.metrics.families import Family
from phoenix_compat.tasks.model.task_types import TaskType
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.transports.aiohttp import mount

if TYPE_CHECKING:
    from phoenix_compat.tasks.store.leases.lease_store import LeaseStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedParts:
    """What a topology needs of this process when it starts.

    Attributes:
        app: has not started yet.
        open_store: opens the store, where `opens_store` is False.
        work: opens the API keys, and starts the worker and what belongs to it.
        is_well: whether the background tasks of this process run.
        bodies: reads the bodies of tasks before they are forwarded.
    """

    app: web.Application
    worker: Worker
    open_store: Callable[[], Awaitable[None]]
    work: Callable[[], Awaitable[None]]
    is_well: Callable[[], bool]
    bodies: SpooledBodies


class Topology(ABC):
    """The place of this process among those of its server; the block closes its links to them.

    Attributes:
        processes: asks all processes for what operators want to see.
        size: how many processes share the port; None if this is the only one.
        opens_store: whether the store is open from the beginning, and not only in the leader.
        takes_commands: whether this process has the control socket when it works.
        leases: those of this node, where several share a store.
        secret_key_base: the secret that the processes share; None for one of this process alone.
    """

    processes: Processes
    size: int | None = None
    opens_store: bool = True
    takes_commands: bool = True
    leases: LeaseStore | None = None
    secret_key_base: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return None

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """The background tasks that keep the links to the other processes."""
        return ()

    @property
    def bus_counts(self) -> dict[str, int] | None:
        """What the bus has counted; None without a bus."""
        return None

    @property
    def node(self) -> int | None:
        """The number of this process; None if it is the only one."""
        return None

    @property
    def count(self) -> int:
        """How many processes this server has now, as far as this one knows."""
        return self.size or 1

    @property
    def bus_problem(self) -> str | None:
        """Why this process may miss what others do; None if it hears them."""
        return None

    def families(self) -> Sequence[Family]:
        """Further metrics of this process."""
        return ()

    async def prepare(self, store: TaskStore) -> None:
        """Read what the processes share, once the store is made; call it before `feed`."""
        del store

    @abstractmethod
    def feed(
        self, store: TaskStore, endpoint: Endpoint, task_types: Mapping[str, TaskType]
    ) -> TaskFeed:
        """Build what tells clients about changes of tasks."""

    def worker_client(self, worker: Worker) -> WorkerClient:
        """What the API uses of the worker; call it before `start`."""
        return worker

    def canceller(self, client: WorkerClient) -> Canceller:
        """What cancels tasks for channels; call it after `feed`."""
        return client

    def keys(self, keys: KeyStore, endpoint: Endpoint) -> ApiKeys:
        """Build the lookup of API keys."""
        del endpoint
        return keys

    async def share_lent(self, sha256: str) -> None:
        """Let a key that was lent here work in the other processes that a command may reach."""
        del sha256

    def presence(self, endpoint: Endpoint) -> Presence:
        """Build a presence that has the clients of every process."""
        return Presence(endpoint)

    def share(self, presences: Iterable[Presence]) -> None:
        """Include the clients of every process in further presences, the same in each process."""
        del presences

    def mount(self, app: web.Application, endpoint: Endpoint) -> None:
        """Serve the endpoint's sockets; long-poll sessions answer in every process."""
        mount(app, endpoint)

    async def start(self, parts: StartedParts, stack: AsyncExitStack) -> None:
        """Connect to the other processes, and do this process's part of the work.

        Args:
            stack: closed before the links to the other processes are.
        """
        del stack
        await parts.work()


class Alone(Topology):
    """The only process of a server."""

    def __init__(self) -> None:
        self.processes = OneProcess()

    def feed(
        self, store: TaskStore, endpoint: Endpoint, task_types: Mapping[str, TaskType]
    ) -> TaskFeed:
        """See Topology."""
        del task_types
        return TaskFeed(store, endpoint)
