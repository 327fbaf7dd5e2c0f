"""Stopping the worker and starting it again, with a task in every state."""

from __future__ import annotations

import asyncio
from pathlib import Path

from phoenix_compat.tasks.model.task import TaskStatus
from tests.integration.worker.fake_provider import (
    FakeClock,
    FakeProvider,
    active,
    ref,
    succeeded,
)
from tests.integration.worker.worker_harness import code_of, open_worker_harness
from tests.patience import patient

SUBMITTING, RUNNING = TaskStatus.SUBMITTING, TaskStatus.RUNNING


async def leave_task(path: Path, *statuses: TaskStatus) -> str:
    """Leave a task as a killed server would, moved through `statuses`; returns the task's id."""
    async with open_worker_harness(path, FakeProvider(), FakeClock(), is_started=False) as harness:
        task = await harness.add()
        for to in statuses:
            prediction_id = "p-1" if to is RUNNING else None
            now = FakeClock().now()
            moved = await harness.store.move(
                task, to, attempts=1, submitted_at=now, prediction_id=prediction_id, progress=0.6
            )
            assert moved is not None
            task = moved
        return task.id


async def test_a_queued_task_is_run_after_a_restart(path: Path) -> None:
    """A task that was only queued before the restart is completed after it."""
    task_id = await leave_task(path)
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.store.get(task_id)
        assert task is not None

        assert (await harness.ended(task)).status is TaskStatus.COMPLETED


async def test_a_running_prediction_is_polled_after_a_restart(path: Path) -> None:
    """No create is sent, and the progress does not fall."""
    task_id = await leave_task(path, SUBMITTING, RUNNING)
    provider = FakeProvider(fetch=[active(" 10%|█| 1/10 [00:00]"), succeeded()])
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.store.get(task_id)
        assert task is not None
        ended = await harness.ended(task)

        assert (ended.status, ended.attempts) == (TaskStatus.COMPLETED, 1)
        assert provider.calls == ["fetch", "fetch"]
        assert [payload["progress"] for payload in harness.payloads(task)] == [1.0]


async def test_a_create_sent_before_a_restart_is_found(path: Path) -> None:
    """If the server was killed before it stored the prediction's id, the prediction is adopted."""
    task_id = await leave_task(path, SUBMITTING)
    provider = FakeProvider(find=[[ref("p-9")]], fetch=[succeeded()])
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.store.get(task_id)
        assert task is not None

        assert (await harness.ended(task)).prediction_id == "p-9"
        assert provider.count("submit") == 0


async def test_a_create_not_sent_before_a_restart_is_sent(path: Path) -> None:
    """If the server was killed before the create, lookups find nothing and it is sent once."""
    task_id = await leave_task(path, SUBMITTING)
    provider = FakeProvider(find=[[]], submit=[ref()], fetch=[succeeded()])
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.store.get(task_id)
        assert task is not None

        assert (await harness.ended(task)).status is TaskStatus.COMPLETED
        assert provider.calls[:4] == ["find", "find", "find", "submit"]


async def test_a_create_too_old_to_be_found_is_not_repeated(path: Path) -> None:
    """After `retention_s` a lookup cannot tell whether there is a prediction, so the task fails."""
    task_id = await leave_task(path, SUBMITTING)
    clock = FakeClock()
    clock.elapsed_s = 4_000.0
    provider = FakeProvider(find=[[]])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.store.get(task_id)
        assert task is not None

        assert code_of(await harness.ended(task)) == "unknown_outcome"
        assert provider.count("submit") == 0


async def test_a_result_from_before_the_deadline_is_kept(path: Path) -> None:
    """After a long downtime the prediction is polled once before the task can time out."""
    task_id = await leave_task(path, SUBMITTING, RUNNING)
    clock = FakeClock()
    clock.elapsed_s = 3_000.0
    provider = FakeProvider(fetch=[succeeded()])
    async with open_worker_harness(path, provider, clock) as harness:
        task = await harness.store.get(task_id)
        assert task is not None

        assert (await harness.ended(task)).status is TaskStatus.COMPLETED
        assert clock.elapsed_s == 3_000.0


async def test_stopping_waits_for_a_create(path: Path) -> None:
    """A stop waits for a create on its way until the prediction's id is stored."""
    provider = FakeProvider(submit=[ref()])
    provider.held = "submit"
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.add()
        await provider.reached.wait()

        stopping = asyncio.create_task(harness.worker.stop())
        await asyncio.sleep(0)
        provider.release()
        await stopping

        left = await harness.now(task)
        assert (left.status, left.prediction_id, left.attempts) == (RUNNING, "p-1", 1)
        assert provider.calls == ["submit"]


async def test_stopping_does_not_wait_for_predictions(path: Path) -> None:
    """A stop leaves a running prediction to the next start, without waiting."""
    provider = FakeProvider(submit=[ref()], fetch=[active()])
    provider.held = "fetch"
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.add()
        await provider.reached.wait()

        await asyncio.wait_for(harness.worker.stop(), patient(1))

        assert (await harness.now(task)).status is RUNNING
        assert harness.worker.running == 0


async def test_a_worker_can_start_again(path: Path) -> None:
    """After a stop and a start in one process the task is completed, with one create."""
    provider = FakeProvider(submit=[ref()], fetch=[active(), succeeded()])
    provider.held = "fetch"
    async with open_worker_harness(path, provider, FakeClock()) as harness:
        task = await harness.add()
        await provider.reached.wait()
        await harness.worker.stop()
        provider.release()

        await harness.worker.start()

        assert (await harness.ended(task)).status is TaskStatus.COMPLETED
        assert provider.count("submit") == 1
