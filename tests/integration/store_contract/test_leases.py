"""A change that names an earlier lease changes nothing."""

from __future__ import annotations

import msgspec

from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store_contract.engines import execute
from tests.integration.worker.worker_harness import task_params


async def running_task(store: TaskStore) -> Task:
    task = await store.move(await store.add(task_params()), TaskStatus.SUBMITTING, attempts=1)
    assert task is not None
    task = await store.move(task, TaskStatus.RUNNING, prediction_id="p-1", progress=0.2)
    assert task is not None
    return task


def broken(task: Task) -> Task:
    return msgspec.structs.replace(task, unreadable=("type",))


async def test_an_old_lease_changes_nothing(store: TaskStore) -> None:
    """After another node took the task, moves, progress and setting aside write nothing."""
    old = await running_task(store)
    await execute(store, "UPDATE tasks SET lease = ?", (1,))
    before = await store.get(old.id)
    events = await store.events(old.id)

    assert before is not None
    assert before.lease == 1
    assert await store.move(old, TaskStatus.FAILED, error_data={}) is None
    assert await store.move(old, TaskStatus.COMPLETED, result_data={}) is None
    assert await store.record_progress(old, 0.9) is None
    assert await store.set_aside(broken(old)) is None
    assert await store.get(old.id) == before
    assert await store.events(old.id) == events


async def test_the_present_lease_is_kept_over_a_retry(store: TaskStore) -> None:
    """A task that is retried has the lease that it had, so an earlier node stays shut out."""
    task = await running_task(store)
    await execute(store, "UPDATE tasks SET lease = ?", (3,))
    leased = msgspec.structs.replace(task, lease=3)

    failed = await store.move(leased, TaskStatus.FAILED, error_data={})
    assert failed is not None
    retried = await store.retry(task.id, task_params())

    assert (failed.lease, retried.lease) == (3, 3)
    assert await store.move(retried, TaskStatus.SUBMITTING, attempts=1) is not None
