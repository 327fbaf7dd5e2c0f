"""What the store sums up for operators."""

from __future__ import annotations

from datetime import timedelta

from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.stored_tasks import moved
from tests.integration.worker.worker_harness import task_params

SUBMITTING, RUNNING = TaskStatus.SUBMITTING, TaskStatus.RUNNING


async def test_the_task_that_waits_for_longest(store: TaskStore) -> None:
    """Tasks that run do not wait."""
    assert await store.oldest_queued_at() is None

    await moved(store, await store.add(task_params()), SUBMITTING)
    first = await store.add(task_params())
    await store.add(task_params())

    assert await store.oldest_queued_at() == first.created_at
    assert await store.newest_number() == 3


async def test_the_beginnings_of_prompts(store: TaskStore) -> None:
    """They are cut; tasks without a prompt are left out."""
    long = await store.add(task_params(prompt="Medieval monk " * 100))
    short = await store.add(task_params(prompt="Fox"))

    found = await store.prompts([long.number, short.number, 99], chars=20)

    assert found == {long.number: "Medieval monk Mediev", short.number: "Fox"}


async def test_what_ended_lately(store: TaskStore) -> None:
    """Completed and failed tasks, with the code of the failure."""
    done = await moved(store, await store.add(task_params()), SUBMITTING, RUNNING)
    await store.move(done, TaskStatus.COMPLETED, result_data={})
    failed = await store.add(task_params())
    await store.move(failed, TaskStatus.FAILED, error_data={"code": "timed_out", "error": "x"})
    await store.add(task_params())

    ended = await store.ended_since(done.created_at - timedelta(hours=1))

    assert sorted((one.is_completed, one.code) for one in ended) == [
        (False, "timed_out"),
        (True, None),
    ]
    assert all(one.completed_at >= one.created_at for one in ended)
    assert await store.ended_since(done.created_at + timedelta(hours=1)) == []
