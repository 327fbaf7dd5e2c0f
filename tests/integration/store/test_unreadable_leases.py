"""A lease that cannot be read."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("lease", ["abc", -1, 1.5, b"\xff"])
async def test_a_lease_that_cannot_be_read_does_not_hold_a_task_up(
    store: TaskStore, lease: object
) -> None:
    """A prediction that is paid for is recorded, whatever the column holds."""
    task = await running_task(store)
    await execute(store, "UPDATE tasks SET lease = ?", (lease,))
    current = await store.get(task.id)

    assert current is not None
    assert (current.unreadable, current.status) == (("lease",), TaskStatus.RUNNING)
    completed = await store.move(current, TaskStatus.COMPLETED, result_data={})
    assert completed is not None
    assert completed.status is TaskStatus.COMPLETED
