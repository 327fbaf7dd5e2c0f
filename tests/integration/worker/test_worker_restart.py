"""Stopping and starting again, at every state a task can be in."""

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
from tests.integration.worker.worker_harness import code_of, open_workshop
from tests.patience import patient

SUBMITTING, RUNNING = TaskStatus.SUBMITTING, TaskStatus.RUNNING


async def leave(path: Path, *states: TaskStatus) -> str:
    """Leave a task behind in a state, as a server that was killed does; its id."""
    async with open_workshop(path, FakeProvider(), FakeClock(), is_started=False) as workshop:
        task = await workshop.add()
        for to in states:
            prediction_id = "p-1" if to is RUNNING else None
            now = FakeClock().now()
            moved = await workshop.store.move(
                task, to, attempts=1, submitted_at=now, prediction_id=prediction_id, progress=0.6
            )
            assert moved is not None
            task = moved
        return task.id


async def test_a_queued_task_is_run_by_the_next_server(path: Path) -> None:
    """A 202 holds across a restart."""
    task_id = await leave(path)
    provider = FakeProvider(submit=[ref()], fetch=[succeeded()])
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.store.get(task_id)
        assert task is not None

        assert (await workshop.ended(task)).status is TaskStatus.COMPLETED


async def test_a_running_prediction_is_taken_up_by_its_id(path: Path) -> None:
    """Nothing is ordered again, and progress goes on from where it was."""
    task_id = await leave(path, SUBMITTING, RUNNING)
    provider = FakeProvider(fetch=[active(" 10%|█| 1/10 [00:00]"), succeeded()])
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.store.get(task_id)
        assert task is not None
        ended = await workshop.ended(task)

        assert (ended.status, ended.attempts) == (TaskStatus.COMPLETED, 1)
        assert provider.calls == ["fetch", "fetch"]
        assert [payload["progress"] for payload in workshop.payloads(task)] == [1.0]


async def test_an_order_that_was_sent_is_found(path: Path) -> None:
    """Killed between the order and its id: the order is adopted, not repeated."""
    task_id = await leave(path, SUBMITTING)
    provider = FakeProvider(find=[[ref("p-9")]], fetch=[succeeded()])
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.store.get(task_id)
        assert task is not None

        assert (await workshop.ended(task)).prediction_id == "p-9"
        assert provider.count("submit") == 0


async def test_an_order_that_was_not_sent_is_sent(path: Path) -> None:
    """Killed before the order went out: looked for, not found, sent once."""
    task_id = await leave(path, SUBMITTING)
    provider = FakeProvider(find=[[]], submit=[ref()], fetch=[succeeded()])
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.store.get(task_id)
        assert task is not None

        assert (await workshop.ended(task)).status is TaskStatus.COMPLETED
        assert provider.calls[:4] == ["find", "find", "find", "submit"]


async def test_an_order_too_old_to_be_found_is_not_repeated(path: Path) -> None:
    """After an hour the provider forgets what was ordered: nobody can know, so nobody pays."""
    task_id = await leave(path, SUBMITTING)
    clock = FakeClock()
    clock.elapsed_s = 4_000.0
    provider = FakeProvider(find=[[]])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.store.get(task_id)
        assert task is not None

        assert code_of(await workshop.ended(task)) == "unknown_outcome"
        assert provider.count("submit") == 0


async def test_a_result_from_before_the_deadline_is_kept(path: Path) -> None:
    """A server that was away for long still looks once before it gives up."""
    task_id = await leave(path, SUBMITTING, RUNNING)
    clock = FakeClock()
    clock.elapsed_s = 3_000.0
    provider = FakeProvider(fetch=[succeeded()])
    async with open_workshop(path, provider, clock) as workshop:
        task = await workshop.store.get(task_id)
        assert task is not None

        assert (await workshop.ended(task)).status is TaskStatus.COMPLETED
        assert clock.elapsed_s == 3_000.0


async def test_stopping_lets_an_order_get_its_id(path: Path) -> None:
    """A stop in the middle of an order waits until its id is stored, and spends no attempt."""
    provider = FakeProvider(submit=[ref()])
    provider.held = "submit"
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.add()
        await provider.reached.wait()

        stopping = asyncio.create_task(workshop.worker.stop())
        await asyncio.sleep(0)
        provider.release()
        await stopping

        left = await workshop.now(task)
        assert (left.status, left.prediction_id, left.attempts) == (RUNNING, "p-1", 1)
        assert provider.calls == ["submit"]


async def test_stopping_does_not_wait_for_predictions(path: Path) -> None:
    """A running prediction is left to the next start, at once."""
    provider = FakeProvider(submit=[ref()], fetch=[active()])
    provider.held = "fetch"
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.add()
        await provider.reached.wait()

        await asyncio.wait_for(workshop.worker.stop(), patient(1))

        assert (await workshop.now(task)).status is RUNNING
        assert workshop.worker.in_hand == 0


async def test_a_worker_can_start_again(path: Path) -> None:
    """Stop and start in one process lose nothing."""
    provider = FakeProvider(submit=[ref()], fetch=[active(), succeeded()])
    provider.held = "fetch"
    async with open_workshop(path, provider, FakeClock()) as workshop:
        task = await workshop.add()
        await provider.reached.wait()
        await workshop.worker.stop()
        provider.release()

        await workshop.worker.start()

        assert (await workshop.ended(task)).status is TaskStatus.COMPLETED
        assert provider.count("submit") == 1
