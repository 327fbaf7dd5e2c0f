"""The queue is shared fairly: the owners take turns, and each owner's tasks run in order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest

from phoenix_compat.tasks.model.errors import QueueFullError
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.stored_tasks import moved
from tests.integration.store_contract.engines import Engine, execute
from tests.integration.worker.fake_provider import START, FakeClock
from tests.integration.worker.worker_harness import task_params


async def fill(store: TaskStore, owners: Iterable[str]) -> list[Task]:
    """Add a task for each of these owners, in this order."""
    return [await store.add(task_params(), owner=owner) for owner in owners]


async def put_back(store: TaskStore, task: Task) -> None:
    """Start a task and put it back into the queue, where it has to wait for 10 s."""
    submitting = await moved(store, task, TaskStatus.SUBMITTING)
    later = START + timedelta(seconds=10)
    assert await store.move(submitting, TaskStatus.QUEUED, not_before=later)


def names(tasks: Sequence[Task], of: Sequence[Task]) -> list[str]:
    """Each task by its owner and its place among the owner's tasks: "a1", "a2"."""
    places: dict[str, list[str]] = defaultdict(list)
    for task in of:
        places[task.owner].append(task.id)
    return [f"{task.owner}{places[task.owner].index(task.id) + 1}" for task in tasks]


@pytest.mark.parametrize(
    ("served", "order"),
    [
        ("", "a1 b1 c1 a2 b2 a3"),
        ("a", "b1 c1 a1 b2 a2 a3"),
        ("b", "c1 a1 b1 a2 b2 a3"),
        ("c", "a1 b1 c1 a2 b2 a3"),
        ("bb", "c1 a1 b1 a2 b2 a3"),
        ("zz", "a1 b1 c1 a2 b2 a3"),
    ],
)
async def test_the_owners_take_turns(store: TaskStore, served: str, order: str) -> None:
    """The owner after the one that was served last is first; a position is a place in the order."""
    tasks = await fill(store, "aaabbc")
    store.served_owner = served

    due = await store.due(9)

    assert names(due, tasks) == order.split()
    assert [await store.queue_position(task.id) for task in due] == [1, 2, 3, 4, 5, 6]
    for limit in range(7):
        assert names(await store.due(limit), tasks) == order.split()[:limit]


async def test_any_queue_is_served_in_the_order_of_its_positions(engine: Engine) -> None:
    """For random queues the order is that of a simple simulation."""
    dice = random.Random(14)  # noqa: S311 - a reproducible choice
    clock = FakeClock()
    async with await engine.open_store(clock) as store:
        for _ in range(20):
            await execute(store, "DELETE FROM tasks")
            owners = dice.choices(["", "a", "b", "é", "key:x", "z"], k=dice.randint(1, 12))
            tasks = await fill(store, owners)
            waiting = [task for task in tasks if dice.random() < 0.2]
            for task in waiting:
                await put_back(store, task)
            store.served_owner = dice.choice(["", "a", "é", "q", "z"])
            limit = dice.randint(1, 14)

            due = await store.due(limit)

            held = {task.id for task in waiting}
            ready = [task for task in tasks if task.id not in held]
            assert [one.id for one in due] == simulated(ready, store.served_owner)[:limit]


def simulated(tasks: Sequence[Task], served: str) -> list[str]:
    """The order in which owners that take turns are served, one task at a time."""
    left = list(tasks)
    order: list[str] = []
    while left:
        owners = sorted({task.owner for task in left})
        served = next((owner for owner in owners if owner > served), owners[0])
        task = next(task for task in left if task.owner == served)
        left.remove(task)
        order.append(task.id)
    return order


async def test_a_new_owner_is_next_whatever_is_queued(store: TaskStore) -> None:
    """The first task of another owner has position 1 behind the many of the one that was served."""
    await fill(store, ["ada"] * 50)
    store.served_owner = "ada"

    (task,) = await fill(store, ["bob"])

    assert (await store.due(1))[0].id == task.id
    assert await store.queue_position(task.id, owner="bob") == 1


async def test_owners_whose_tasks_wait_are_passed(engine: Engine) -> None:
    """More owners than the limit have only waiting tasks; the one after them is served."""
    clock = FakeClock()
    async with await engine.open_store(clock) as store:
        for task in await fill(store, [f"a{number}" for number in range(20)]):
            await put_back(store, task)

        assert await store.due(3) == []
        (task,) = await fill(store, ["b"])
        assert [one.id for one in await store.due(3)] == [task.id]
        assert await store.next_due() == START + timedelta(seconds=10)
        clock.elapsed_s = 10.0
        assert len(await store.due(30)) == 21


async def test_a_full_queue_has_room_for_other_owners(store: TaskStore) -> None:
    """An owner that fills the queue is refused; another has its share, up to a hard limit."""
    limit = 100
    for _ in range(limit):
        await store.add(task_params(), owner="ada", max_queued=limit)

    with pytest.raises(QueueFullError):
        await store.add(task_params(), owner="ada", max_queued=limit)
    await store.add(task_params(), owner="bob", max_queued=limit)
    with pytest.raises(QueueFullError):
        await store.add(task_params(), owner="bob", max_queued=limit)
    for number in range(limit - 1):
        await store.add(task_params(), owner=f"user-{number}", max_queued=limit)
    with pytest.raises(QueueFullError):
        await store.add(task_params(), owner="cleo", max_queued=limit)

    assert len(await store.list(limit=500)) == 2 * limit
