"""The worker lets the owners take turns, also after a restart and while the provider is down."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from phoenix_compat.tasks.model.errors import ProviderRefusedError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.store.unreadable_harness import SucceedingProvider
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import (
    SCHEMA,
    WorkerHarness,
    code_of,
    open_worker_harness,
    task_params,
)

ONE_AT_A_TIME = WorkerOptions(concurrency=1)
PATIENCE_S = ONE_AT_A_TIME.breaker.patience_s


class OwnerProvider(SucceedingProvider):
    """Makes a prediction for each task.

    Attributes:
        owners: the owners of the tasks that a create was sent for, in order.
        has_begun: set by the first create.
    """

    def __init__(self) -> None:
        super().__init__()
        self.owners: list[str] = []
        self.has_begun = asyncio.Event()

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`."""
        self.owners.append(task.owner)
        self.has_begun.set()
        return await super().submit(task)


async def add(harness: WorkerHarness, *owners: str) -> list[Task]:
    """Add a task of each of these owners, then wake the worker."""
    tasks = [await harness.store.add(task_params(), owner=owner) for owner in owners]
    harness.worker.wake()
    return tasks


async def test_many_tasks_of_one_owner_do_not_stand_before_anothers(path: Path) -> None:
    """Behind 10 000 queued tasks another owner's first starts within two of the first owner's."""
    await asyncio.to_thread(_queue, path, "ada", 10_000)
    provider = OwnerProvider()
    async with open_worker_harness(path, provider, FakeClock(), ONE_AT_A_TIME) as harness:
        await provider.has_begun.wait()
        before = len(provider.owners)

        (task,) = await add(harness, "bob")
        after = len(provider.owners)
        await harness.ended(task)

    assert before < 100
    assert provider.owners.index("bob") <= after + 2


def _queue(path: Path, owner: str, count: int) -> None:
    at = "2026-01-05T10:00:00.000Z"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO tasks (id, type, task_type, model, input, provider_input, fingerprint,"
            " status, created_at, updated_at, owner) VALUES (?, 'image', 'image_gen', 'a/b',"
            " '{}', '{}', 'f', 'queued', ?, ?, ?)",
            ((f"t-{number}", at, at, owner) for number in range(count)),
        )


async def test_the_owners_take_turns(path: Path) -> None:
    """Each has as many starts as the others, however many tasks they have."""
    provider = OwnerProvider()
    async with open_worker_harness(
        path, provider, FakeClock(), ONE_AT_A_TIME, is_started=False
    ) as harness:
        tasks = await add(harness, *["ada"] * 5, *["bob"] * 3, "cleo")
        await harness.worker.start()
        for task in tasks:
            await harness.ended(task)

    assert provider.owners == ["ada", "bob", "cleo", "ada", "bob", "ada", "bob", "ada", "ada"]


async def test_turns_go_on_after_a_restart(path: Path) -> None:
    """A server that is restarted after each start serves the owners in turn all the same."""
    provider = OwnerProvider()
    async with open_worker_harness(path, provider, is_started=False) as harness:
        await add(harness, *["ada"] * 3, *["bob"] * 3)
        (running,) = await add(harness, "ada")
        submitting = await harness.store.move(running, TaskStatus.SUBMITTING)
        assert submitting is not None
        await harness.store.move(submitting, TaskStatus.RUNNING, prediction_id="p-1")

    options = WorkerOptions(concurrency=2)
    async with open_worker_harness(path, provider, FakeClock(), options) as harness:
        await harness.ended(running)
        await provider.has_begun.wait()

    assert provider.owners[0] == "bob"


class RefusingProvider(OwnerProvider):
    """Refuses the account. After a while many new owners add tasks."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.harness: WorkerHarness | None = None

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`."""
        self.owners.append(task.owner)
        if self.harness is not None and self._clock.elapsed_s > PATIENCE_S / 2:
            harness, self.harness = self.harness, None
            await add(harness, *[f"a{number:02}" for number in range(40)])
        raise ProviderRefusedError(401, "provider_account", "no")


async def test_a_long_outage_ends_the_oldest_task_first(path: Path) -> None:
    """A task that has waited too long fails, even if many other owners' turns come before."""
    clock = FakeClock()
    provider = RefusingProvider(clock)
    async with open_worker_harness(
        path, provider, clock, ONE_AT_A_TIME, is_started=False
    ) as harness:
        provider.harness = harness
        _refused, old = await add(harness, "zoe", "zoe")
        await harness.worker.start()

        failed = await harness.ended(old)

    assert code_of(failed) == "provider_account"
    assert failed.completed_at is not None
    waited_s = (failed.completed_at - failed.created_at).total_seconds()
    assert waited_s < PATIENCE_S * 1.2
    assert len(set(provider.owners)) > 3
