"""A provider's account that several nodes use, and workers that share a database."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from phoenix_compat.tasks.model.errors import ProviderError
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.provider.create_permit import check_permit
from phoenix_compat.tasks.provider.provider import Candidates
from phoenix_compat.tasks.store.leases.lease_store import LeaseStore, Node
from phoenix_compat.tasks.store.opening import open_shared_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.dispatch.renewal import LeaseOptions
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.worker import Worker
from tests.integration.store_contract.engines import POSTGRES_SCHEMA
from tests.integration.worker.fake_provider import PICTURE, WithoutStreams
from tests.integration.worker.worker_harness import FAST, task_params
from tests.patience import patient

QUICK: Final = LeaseOptions(
    lease_s=patient(0.9),
    sure_s=patient(0.7),
    first_renewal_s=patient(0.2),
    renew_every_s=patient(0.2),
    retry_every_s=patient(0.1),
    renew_patience_s=patient(0.4),
    look_every_s=patient(0.15),
)
"""Short leases, in the proportions of those that servers have."""
CALM: Final = replace(QUICK, lease_s=30.0, sure_s=25.0, renew_patience_s=8.0)
"""Leases that do not run out, on a machine however busy."""


@dataclass(slots=True)
class Made:
    """A prediction that was created, and so billed."""

    fingerprint: str
    made_at: datetime
    ends_s: float
    is_canceled: bool = False


@dataclass
class Account(WithoutStreams):
    """A provider that all nodes use. It bills each create.

    Attributes:
        runs_s: how long a prediction runs.
        made: the predictions, by id.
        creates: when each create arrived, by the monotonic clock.
        refuse: returns the error for a create; None accepts it.
        connected: called when the connection for a create is made, before it is written.
    """

    runs_s: float = 0.05
    made: dict[str, Made] = field(default_factory=dict)
    creates: list[float] = field(default_factory=list)
    refuse: Callable[[], ProviderError | None] = lambda: None
    connected: Callable[[], None] = lambda: None

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`; as the client does, it asks once more before it writes."""
        self.connected()
        check_permit()
        self.creates.append(time.monotonic())
        if (error := self.refuse()) is not None:
            raise error
        name = f"p-{len(self.made)}"
        self.made[name] = Made(task.fingerprint, datetime.now(UTC), time.monotonic() + self.runs_s)
        await asyncio.sleep(0)
        return PredictionRef(name)

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """See `Provider`."""
        made = self.made[ref.id]
        if made.is_canceled:
            return _snapshot(ref, PredictionState.CANCELED)
        if time.monotonic() >= made.ends_s:
            return _snapshot(ref, PredictionState.SUCCEEDED)
        return _snapshot(ref, PredictionState.ACTIVE)

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """See `Provider`."""
        self.made[ref.id].is_canceled = True
        return await self.fetch(ref)

    async def find(self, since: datetime, task: Task) -> Candidates:
        """See `Provider`."""
        found = [
            PredictionRef(name)
            for name, made in self.made.items()
            if made.fingerprint == task.fingerprint and made.made_at >= since
        ]
        return Candidates(ours=found)

    async def close(self) -> None:
        """See `Provider`."""

    @property
    def most_billed(self) -> int:
        """How often the task was billed that was billed most."""
        billed = Counter(made.fingerprint for made in self.made.values())
        return max(billed.values(), default=0)

    def most_in(self, window_s: float) -> int:
        """The most creates that arrived within so many seconds."""
        return max(
            (sum(begin <= at < begin + window_s for at in self.creates) for begin in self.creates),
            default=0,
        )


def _snapshot(ref: PredictionRef, state: PredictionState) -> PredictionSnapshot:
    output = PICTURE if state is PredictionState.SUCCEEDED else None
    return PredictionSnapshot(ref=ref, state=state, raw_status=state.value, output=output)


class SharingNode:
    """A worker on the shared database.

    Attributes:
        announced: what it announced, oldest first.
    """

    def __init__(
        self,
        name: str,
        store: TaskStore,
        account: Account,
        options: WorkerOptions,
        lease_options: LeaseOptions,
    ) -> None:
        self.store = store
        self.announced: list[Task] = []
        self.leases = LeaseStore(
            store, Node(name, f"host:{name}", "1.0"), store.clock, lease_s=lease_options.lease_s
        )
        self.worker = Worker(
            store,
            account,
            self.announced.append,
            options=options,
            clock=store.clock,
            leases=self.leases,
            lease_options=lease_options,
            jitter=lambda: 0.5,
        )

    async def add(self, **inputs: object) -> Task:
        """Add a task whose create is told apart from all others."""
        task = await self.store.add(task_params(**inputs))
        self.worker.wake()
        return task

    async def now(self, task: Task) -> Task:
        """The task as it is stored."""
        current = await self.store.get(task.id)
        assert current is not None
        return current

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until something is true."""
        async with asyncio.timeout(patient(15.0)):
            while not is_true():  # noqa: ASYNC110 - it may be about anything
                await asyncio.sleep(0.01)

    async def until_status(self, task: Task, status: TaskStatus) -> Task:
        """Wait until a task has a status in the store."""
        async with asyncio.timeout(patient(15.0)):
            while True:
                current = await self.now(task)
                if current.status is status:
                    return current
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """End everything at once, as SIGKILL does: nothing is written or given back."""
        for background in self.worker.background:
            background.cancel()
        for task_id in self.worker.runs.ids:
            self.worker.runs.end(task_id)

    @property
    def ends(self) -> list[str]:
        """The ids of the tasks whose end it announced."""
        return [task.id for task in self.announced if task.status.is_terminal]


@asynccontextmanager
async def open_nodes(
    *urls: str,
    account: Account,
    options: WorkerOptions = FAST,
    leases: LeaseOptions = CALM,
) -> AsyncIterator[list[SharingNode]]:
    """Nodes on one database, one for each address of it."""
    timeout_s = patient(0.4) if leases == QUICK else None
    async with AsyncExitStack() as opened:
        nodes = []
        for number, url in enumerate(urls):
            store = await opened.enter_async_context(
                await open_shared_task_store(url, POSTGRES_SCHEMA, timeout_s=timeout_s)
            )
            node = SharingNode("abcdef"[number], store, account, options, leases)
            await node.worker.start()
            opened.push_async_callback(node.worker.stop)
            nodes.append(node)
        yield nodes
