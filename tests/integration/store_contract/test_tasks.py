"""Stored tasks: added, read, listed, and limited."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from phoenix_compat.tasks.model.errors import (
    QueueFullError,
    StoreUnavailableError,
)
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.stored_tasks import moved
from tests.integration.store_contract.engines import Engine
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import task_params

SUBMITTING, RUNNING = TaskStatus.SUBMITTING, TaskStatus.RUNNING


async def test_an_added_task_can_be_read(store: TaskStore) -> None:
    """A new task is queued and is read as it was added."""
    added = await store.add(task_params(aspect_ratio="16:9", model="a/b", deep={"é": [1, None]}))

    assert await store.get(added.id) == added
    assert added.status is TaskStatus.QUEUED
    assert [event.event for event in await store.events(added.id)] == ["queued"]
    assert added.provider_input["deep"] == {"é": [1, None]}
    assert await store.get("no-such") is None


async def test_many_tasks_are_read_at_once(store: TaskStore) -> None:
    """Those that exist, without their inputs, and which node has each."""
    added = [await store.add(task_params()) for _ in range(3)]

    read = await store.get_many([*(task.id for task in added[:2]), "no-such"])

    assert {task.id: task for task in read} == {
        task.id: task.without_inputs() for task in added[:2]
    }
    assert await store.get_many([]) == []
    assert await store.node_of(added[0].id) is None


async def test_add_returns_what_get_reads(engine: Engine) -> None:
    """`add` and `get` return the same task, also with a clock that is finer than stored times."""
    async with await engine.open_store() as store:
        first, second = await store.add(task_params()), await store.add(task_params(seed=7))

        assert await store.get(first.id) == first
        assert await store.get(second.id) == second
        assert second.number == first.number + 1


async def test_ids_rise_with_time(store: TaskStore) -> None:
    """Ids are UUIDs of version 7: later tasks have greater ones, and all are different."""
    store._clock = clock = FakeClock()
    early = [(await store.add(task_params())).id for _ in range(3)]
    clock.elapsed_s += 0.001
    late = [(await store.add(task_params())).id for _ in range(3)]

    assert max(early) < min(late)
    assert len({*early, *late}) == 6
    assert {uuid.UUID(id_).version for id_ in early} == {7}
    assert {uuid.UUID(id_).variant for id_ in early} == {uuid.RFC_4122}
    assert all(str(uuid.UUID(id_)) == id_ for id_ in early)


async def test_a_task_survives_a_restart(engine: Engine) -> None:
    """A task is still there when the store is opened again."""
    async with await engine.open_store() as first:
        added = await first.add(task_params())

    async with await engine.open_store() as second:
        assert await second.get(added.id) == added


async def test_the_list_is_paged_from_the_newest(store: TaskStore) -> None:
    """Pages have no gaps or repeats; tasks can be filtered by status."""
    tasks = [await store.add(task_params()) for _ in range(5)]
    await moved(store, tasks[1], TaskStatus.FAILED)

    first = await store.list(limit=2)
    rest = await store.list(limit=9, before=first[-1].number)
    failed = await store.list(statuses={TaskStatus.FAILED})

    assert [task.id for task in first + rest] == [task.id for task in reversed(tasks)]
    assert [task.id for task in failed] == [tasks[1].id]


async def test_due_tasks_are_ordered_and_respect_waits(engine: Engine) -> None:
    """The oldest tasks are due first; a task that has to wait is due at its time."""
    clock = FakeClock()
    async with await engine.open_store(clock) as store:
        tasks = [await store.add(task_params()) for _ in range(3)]
        submitting = await moved(store, tasks[0], SUBMITTING)
        clock.elapsed_s = 1.0
        later = clock.now()
        clock.elapsed_s = 0.0
        await store.move(submitting, TaskStatus.QUEUED, not_before=later)

        assert [task.id for task in await store.due(9)] == [tasks[1].id, tasks[2].id]
        assert await store.next_due() == later

        clock.elapsed_s = 1.0
        assert [task.id for task in await store.due(2)] == [tasks[0].id, tasks[1].id]
        assert await store.next_due() is None


async def test_submitting_and_running_tasks_are_unfinished(store: TaskStore) -> None:
    """`unfinished` lists submitting and running tasks only."""
    tasks = [await store.add(task_params()) for _ in range(4)]
    await moved(store, tasks[1], SUBMITTING)
    await moved(store, tasks[2], SUBMITTING, RUNNING)
    await moved(store, tasks[3], TaskStatus.FAILED)

    assert [task.id for task in await store.unfinished()] == [tasks[1].id, tasks[2].id]


async def test_the_queue_is_limited(store: TaskStore) -> None:
    """A task beyond the limit is refused, and nothing is written."""
    await store.add(task_params(), max_queued=1)

    with pytest.raises(QueueFullError):
        await store.add(task_params(), max_queued=1)

    assert len(await store.list()) == 1


async def test_a_cancelled_caller_affects_no_other_write(store: TaskStore) -> None:
    """The write of a cancelled caller is carried out, and the next write works."""
    adding = asyncio.create_task(store.add(task_params()))
    await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding

    stored = await store.add(task_params())

    newest, oldest = await store.list()
    assert newest == stored
    assert len(list(await store.events(oldest.id))) == 1


async def test_concurrent_adds_all_succeed(store: TaskStore) -> None:
    """Fifty concurrent adds make fifty tasks."""
    tasks = await asyncio.gather(*(store.add(task_params(prompt=str(n))) for n in range(50)))

    assert sorted(task.number for task in tasks) == list(range(1, 51))


async def test_a_closed_store_raises_an_error(engine: Engine) -> None:
    """After close calls fail instead of hanging; close may be called twice."""
    store = await engine.open_store()
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailableError):
        await store.add(task_params())
    with pytest.raises(StoreUnavailableError):
        await store.get("x")


async def test_the_queue_limit_is_exact(store: TaskStore) -> None:
    """The limit holds exactly while tasks enter and leave the queue."""
    tasks = [await store.add(task_params(), max_queued=3) for _ in range(3)]
    with pytest.raises(QueueFullError):
        await store.add(task_params(), max_queued=3)

    submitting = await moved(store, tasks[0], SUBMITTING)
    tasks.append(await store.add(task_params(), max_queued=3))
    await moved(store, submitting, TaskStatus.QUEUED)
    with pytest.raises(QueueFullError):
        await store.add(task_params(), max_queued=4)

    await moved(store, tasks[1], TaskStatus.FAILED)
    await store.retry(tasks[1].id, task_params(), max_queued=4)
    with pytest.raises(QueueFullError):
        await store.add(task_params(), max_queued=4)
    assert [await store.queue_position(task.id) for task in tasks] == [1, 2, 3, 4]
