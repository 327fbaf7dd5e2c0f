"""A store and a worker put together as in the server, recording what the worker announces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Unpack

import pytest

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.prediction import PredictionSnapshot
from phoenix_compat.tasks.model.task import (
    JSONObject,
    Task,
    TaskChanges,
    TaskStatus,
    progress_payload,
)
from phoenix_compat.tasks.model.task_types import TaskParams, determine_task_params
from phoenix_compat.tasks.provider.provider import Provider
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.circuit_breaker import BreakerOptions
from phoenix_compat.tasks.worker.context import Archive
from phoenix_compat.tasks.worker.options import PollIntervals, WorkerOptions
from phoenix_compat.tasks.worker.worker import Worker
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
"""Short waits, for tests with the real clock."""


def task_params(**inputs: object) -> TaskParams:
    """The parameters of a task of type image, as from a POST."""
    return determine_task_params({"type": "image", "prompt": "Medieval monk"} | inputs)


class WorkerHarness:
    """A store, its worker, and the tasks as they were announced.

    Attributes:
        announced: each announcement, oldest first.
    """

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
        """Add a task to the queue and wake the worker."""
        task = await self.store.add(task_params(**inputs))
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
        """Add a task and wait until it has ended."""
        return await self.ended(await self.add(**inputs))

    async def now(self, task: Task) -> Task:
        """The task as it is in the store now."""
        current = await self.store.get(task.id)
        assert current is not None
        return current

    async def history(self, task: Task) -> list[str]:
        """The names of the task's events."""
        return [event.event for event in await self.store.events(task.id)]

    def payloads(self, task: Task) -> list[JSONObject]:
        """The payloads that were announced for a task, in order."""
        return [progress_payload(one) for one in self.announced if one.id == task.id]

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _note(self, task: Task) -> None:
        self.announced.append(task)
        self._changed.set()


def code_of(task: Task) -> object:
    """The error code of a failed task."""
    assert task.error_data is not None, task
    return task.error_data["code"]


async def cancel_held(harness: WorkerHarness, provider: FakeProvider) -> Task:
    """Add a task, cancel it while the provider's held call is on its way, then release the call."""
    task = await harness.add()
    await provider.reached.wait()
    await harness.worker.cancel(task.id)
    provider.release()
    return task


def report_when_queued_again(
    harness: WorkerHarness, snapshot: PredictionSnapshot, patch: pytest.MonkeyPatch
) -> None:
    """Let a webhook with this snapshot arrive whenever a task has just been queued again."""
    move = harness.store.move

    async def move_and_report(
        task: Task, to: TaskStatus, **changes: Unpack[TaskChanges]
    ) -> Task | None:
        moved = await move(task, to, **changes)
        if to is TaskStatus.QUEUED:
            assert await harness.worker.notice(task.id, snapshot)
        return moved

    patch.setattr(harness.store, "move", move_and_report)


@asynccontextmanager
async def open_worker_harness(
    path: Path,
    provider: Provider,
    clock: Clock | None = None,
    options: WorkerOptions | None = None,
    *,
    archive: Archive | None = None,
    is_started: bool = True,
) -> AsyncIterator[WorkerHarness]:
    """Open a store on a database file with a worker; both are stopped and closed at the end."""
    async with await open_task_store(path, SCHEMA, clock=clock, busy_timeout_s=0.1) as store:
        harness = WorkerHarness(store, provider, clock, options or WorkerOptions(), archive)
        if is_started:
            await harness.worker.start()
        try:
            yield harness
        finally:
            await harness.worker.stop()
