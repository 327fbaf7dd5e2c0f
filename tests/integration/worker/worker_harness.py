"""A store and a worker together, as the server has them, with all that they announce kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.task import JSONObject, Task, progress_payload
from phoenix_compat.tasks.model.task_types import TaskParams, determine_task_params
from phoenix_compat.tasks.provider.provider import Provider
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.circuit_breaker import BreakerOptions
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from phoenix_compat.tasks.worker.worker import Worker
from phoenix_compat.tasks.worker.worker_context import Archive
from tests.integration.worker.fake_provider import FakeProvider
from tests.patience import patient

SCHEMA = Path(__file__).parents[3].joinpath("schema.sql").read_text(encoding="utf-8")
DEADLINE_S = 10.0

FAST = WorkerOptions(
    reconcile_waits_s=(0.02, 0.05, 0.1),
    retry_first_s=0.02,
    retry_limit_s=0.1,
    repeat_first_s=0.02,
    poll=PollIntervals(first_s=0.02, limit_s=0.05),
    breaker=BreakerOptions(first_probe_s=0.05, probe_limit_s=0.05, patience_s=patient(2.0)),
)
"""The real clock, with waits that a test can afford."""


def order(**inputs: object) -> TaskParams:
    """What a POST of type image asks for."""
    return determine_task_params({"type": "image", "prompt": "Medieval monk"} | inputs)


class Workshop:
    """A store, its worker, and what was announced."""

    def __init__(
        self,
        store: TaskStore,
        provider: Provider,
        clock: Clock | None,
        options: WorkerOptions,
        archive: Archive | None = None,
    ) -> None:
        self.store = store
        self.announced: list[Task] = []
        self._changed = asyncio.Event()
        self.worker = Worker(
            store,
            provider,
            self._note,
            options=options,
            clock=clock,
            archive=archive,
            jitter=lambda: 0.5,
        )

    async def add(self, **inputs: object) -> Task:
        """Post a task."""
        task = await self.store.add(order(**inputs))
        self.worker.wake()
        return task

    async def ended(self, task: Task) -> Task:
        """Wait until the task has ended."""
        async with asyncio.timeout(patient(DEADLINE_S)):
            while not any(one.id == task.id and one.status.is_terminal for one in self.announced):
                await self._change()
        return await self.now(task)

    async def seen_running(self, task: Task) -> None:
        """Wait until the task's prediction has made some progress."""
        async with asyncio.timeout(patient(DEADLINE_S)):
            while not any(one.id == task.id and one.progress > 0.1 for one in self.announced):
                await self._change()

    async def run(self, **inputs: object) -> Task:
        """Post a task and wait until it has ended."""
        return await self.ended(await self.add(**inputs))

    async def now(self, task: Task) -> Task:
        """The task as the store has it."""
        current = await self.store.get(task.id)
        assert current is not None
        return current

    async def history(self, task: Task) -> list[str]:
        """The names of the task's events."""
        return [event.event for event in await self.store.events(task.id)]

    def payloads(self, task: Task) -> list[JSONObject]:
        """What was announced of a task, in order."""
        return [progress_payload(one) for one in self.announced if one.id == task.id]

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _note(self, task: Task) -> None:
        self.announced.append(task)
        self._changed.set()


def code_of(task: Task) -> object:
    """Why the task failed."""
    assert task.error_data is not None, task
    return task.error_data["code"]


async def cancel_held(workshop: Workshop, provider: FakeProvider) -> Task:
    """Post a task, and cancel it while the provider's held call is under way, which then ends."""
    task = await workshop.add()
    await provider.reached.wait()
    await workshop.worker.cancel(task.id)
    provider.release()
    return task


@asynccontextmanager
async def open_workshop(
    path: Path,
    provider: Provider,
    clock: Clock | None = None,
    options: WorkerOptions | None = None,
    *,
    archive: Archive | None = None,
    is_started: bool = True,
) -> AsyncIterator[Workshop]:
    """A workshop on a database file; stopped and closed at the end."""
    async with await TaskStore.open(path, SCHEMA, clock=clock, busy_timeout_s=0.1) as store:
        workshop = Workshop(store, provider, clock, options or WorkerOptions(), archive)
        if is_started:
            await workshop.worker.start()
        try:
            yield workshop
        finally:
            await workshop.worker.stop()
