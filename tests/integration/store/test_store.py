"""The store on real SQLite files: what it keeps, who wins a race, and what it does in trouble."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.model.errors import (
    NotFailedError,
    PredictionTakenError,
    QueueFullError,
    StoreError,
    StoreUnavailableError,
    TaskNotFoundError,
)
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import SCHEMA, order

SUBMITTING, RUNNING = TaskStatus.SUBMITTING, TaskStatus.RUNNING


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tasks.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[TaskStore]:
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock(), busy_timeout_s=0.05) as opened:
        yield opened


async def moved(store: TaskStore, task: Task, *path: TaskStatus) -> Task:
    for to in path:
        changed = await store.move(task, to)
        assert changed is not None
        task = changed
    return task


async def pragma(store: TaskStore, text: str) -> tuple[object, ...]:
    """What the writing connection answers to a PRAGMA."""
    return await store._database.write(
        lambda connection: tuple(connection.execute(f"PRAGMA {text}").fetchone())
    )


async def test_what_was_added_is_there(store: TaskStore) -> None:
    """A task comes back as it was put in, queued and untouched."""
    added = await store.add(order(aspect_ratio="16:9", model="a/b", deep={"é": [1, None]}))

    assert await store.get(added.id) == added
    assert added.status is TaskStatus.QUEUED
    assert [event.event for event in await store.events(added.id)] == ["queued"]
    assert added.provider_input["deep"] == {"é": [1, None]}
    assert await store.get("no-such") is None


async def test_a_new_task_is_told_as_it_is_read(path: Path) -> None:
    """What `add` returns is what `get` reads, also with a clock finer than the store's times."""
    async with await TaskStore.open(path, SCHEMA, clock=SystemClock()) as store:
        first, second = await store.add(order()), await store.add(order(seed=7))

        assert await store.get(first.id) == first
        assert await store.get(second.id) == second
        assert second.number == first.number + 1


async def test_ids_stand_in_the_order_of_time(store: TaskStore) -> None:
    """A later task has a greater id, a UUID of version 7, and no two of one moment are the same."""
    store._clock = clock = FakeClock()
    early = [(await store.add(order())).id for _ in range(3)]
    clock.elapsed_s += 0.001
    late = [(await store.add(order())).id for _ in range(3)]

    assert max(early) < min(late)
    assert len({*early, *late}) == 6
    assert {uuid.UUID(id_).version for id_ in early} == {7}
    assert {uuid.UUID(id_).variant for id_ in early} == {uuid.RFC_4122}
    assert all(str(uuid.UUID(id_)) == id_ for id_ in early)


async def test_a_task_survives_the_server(path: Path) -> None:
    """What was added is in the file when the server has gone."""
    async with await TaskStore.open(path, SCHEMA) as first:
        added = await first.add(order())

    async with await TaskStore.open(path, SCHEMA) as second:
        assert await second.get(added.id) == added


async def test_a_move_is_written_with_its_event(store: TaskStore) -> None:
    """State and event are one transaction, and events count from one."""
    task = await moved(store, await store.add(order()), SUBMITTING, RUNNING)

    done = await store.move(task, TaskStatus.COMPLETED, result_data={"image_url": "https://x/1"})

    assert done == await store.get(task.id)
    events = list(await store.events(task.id))
    assert [(event.seq, event.event) for event in events] == [
        (1, "queued"),
        (2, "submitting"),
        (3, "running"),
        (4, "completed"),
    ]
    assert events[-1].data == {"image_url": "https://x/1"}
    assert [event.seq for event in await store.events(task.id, after=2, limit=1)] == [3]


async def test_of_two_movers_one_wins(store: TaskStore) -> None:
    """Two that move the same task at once: one gets it, the other hears None, one event."""
    task = await moved(store, await store.add(order()), SUBMITTING, RUNNING)

    moves = await asyncio.gather(
        store.move(task, TaskStatus.COMPLETED, result_data={}),
        store.move(task, TaskStatus.FAILED, error_data={"code": "timed_out"}),
    )

    assert [move is None for move in moves].count(True) == 1
    current = await store.get(task.id)
    assert current in moves
    assert len(list(await store.events(task.id))) == 4


async def test_a_prediction_belongs_to_one_task(store: TaskStore) -> None:
    """A second task cannot take a prediction; it stays where it was, without an event."""
    one = await moved(store, await store.add(order()), SUBMITTING)
    two = await moved(store, await store.add(order()), SUBMITTING)
    await store.move(one, RUNNING, prediction_id="p-1")

    with pytest.raises(PredictionTakenError):
        await store.move(two, RUNNING, prediction_id="p-1")

    assert await store.get(two.id) == two
    assert len(list(await store.events(two.id))) == 2


async def test_progress_only_rises(store: TaskStore) -> None:
    """A running task's progress is written upwards; nothing else is touched."""
    task = await moved(store, await store.add(order()), SUBMITTING, RUNNING)

    raised = await store.record_progress(task.id, 0.5)

    assert raised is not None
    assert raised.progress == 0.5
    assert await store.record_progress(task.id, 0.4) is None
    await moved(store, raised, TaskStatus.FAILED)
    assert await store.record_progress(task.id, 0.9) is None


async def test_a_cancel_is_noted_once(store: TaskStore) -> None:
    """Asking twice is asking once, and a move does not wash the wish away."""
    task = await store.add(order())

    await store.request_cancel(task.id)
    await store.request_cancel(task.id)

    submitting = await moved(store, task, SUBMITTING)
    assert submitting.is_cancel_requested
    names = [event.event for event in await store.events(task.id)]
    assert names == ["queued", "cancel_requested", "submitting"]


async def test_a_cancel_needs_a_task(store: TaskStore) -> None:
    """Canceling what does not exist says so."""
    with pytest.raises(TaskNotFoundError):
        await store.request_cancel("no-such")


async def test_the_list_pages_from_the_newest(store: TaskStore) -> None:
    """Pages join without gap or repetition, by status when asked."""
    tasks = [await store.add(order()) for _ in range(5)]
    await moved(store, tasks[1], TaskStatus.FAILED)

    first = await store.list(limit=2)
    rest = await store.list(limit=9, before=first[-1].number)
    failed = await store.list(statuses={TaskStatus.FAILED})

    assert [task.id for task in first + rest] == [task.id for task in reversed(tasks)]
    assert [task.id for task in failed] == [tasks[1].id]


async def test_the_queue_is_in_order_and_knows_waits(path: Path) -> None:
    """Due are the longest-waiting; one that must wait is due when its time has come."""
    clock = FakeClock()
    async with await TaskStore.open(path, SCHEMA, clock=clock) as store:
        tasks = [await store.add(order()) for _ in range(3)]
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


async def test_what_was_in_hand_is_unfinished(store: TaskStore) -> None:
    """A restart finds what was submitting or running, and only that."""
    tasks = [await store.add(order()) for _ in range(4)]
    await moved(store, tasks[1], SUBMITTING)
    await moved(store, tasks[2], SUBMITTING, RUNNING)
    await moved(store, tasks[3], TaskStatus.FAILED)

    assert [task.id for task in await store.unfinished()] == [tasks[1].id, tasks[2].id]


async def test_the_queue_has_an_end(store: TaskStore) -> None:
    """More than may wait is refused, and nothing is written."""
    await store.add(order(), max_queued=1)

    with pytest.raises(QueueFullError):
        await store.add(order(), max_queued=1)

    assert len(await store.list()) == 1


async def test_a_locked_database_is_a_clear_error(store: TaskStore, path: Path) -> None:
    """While another program holds the lock nothing is written; reads go on; then all is well."""
    kept = await store.add(order())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailableError, match="locked"):
        await store.add(order())

    assert await store.get(kept.id) == kept
    other.execute("ROLLBACK")
    other.close()
    assert (await store.add(order())).number == kept.number + 1


async def test_a_full_disk_is_a_clear_error(store: TaskStore) -> None:
    """A database that cannot grow refuses the task whole, and keeps what it has."""
    kept = await store.add(order())
    (pages,) = await pragma(store, "page_count")
    await pragma(store, f"max_page_count = {pages}")

    with pytest.raises(StoreUnavailableError, match="full"):
        await asyncio.gather(*(store.add(order(prompt="x" * 9_000)) for _ in range(20)))

    await pragma(store, "max_page_count = 100000")
    assert (await store.list())[-1] == kept
    assert {len(list(await store.events(task.id))) for task in await store.list()} == {1}


async def test_a_caller_that_leaves_harms_no_one(store: TaskStore) -> None:
    """A write whose caller was canceled is carried out all the same, and the next one works."""
    leaving = asyncio.create_task(store.add(order()))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    kept = await store.add(order())

    newest, oldest = await store.list()
    assert newest == kept
    assert len(list(await store.events(oldest.id))) == 1


async def test_a_broken_constraint_is_no_wait(store: TaskStore) -> None:
    """A value the schema refuses is an error of ours at once, and the next write works."""
    task = await moved(store, await store.add(order()), SUBMITTING)

    with pytest.raises(StoreError, match="refused a value") as refusal:
        await store.move(task, RUNNING, progress=7.0)

    assert not isinstance(refusal.value, StoreUnavailableError)
    assert await store.get(task.id) == task
    assert await store.move(task, RUNNING) is not None


async def test_many_writers_take_turns(store: TaskStore) -> None:
    """Writes at once all happen, each in a transaction of its own."""
    tasks = await asyncio.gather(*(store.add(order(prompt=str(n))) for n in range(50)))

    assert sorted(task.number for task in tasks) == list(range(1, 51))


async def test_readers_cannot_write(store: TaskStore) -> None:
    """The reading connection refuses to change anything."""
    with pytest.raises(StoreUnavailableError, match="readonly"):
        await store._database.read("DELETE FROM tasks")


async def test_a_closed_store_says_so(path: Path) -> None:
    """After close there is an error, not a hang; closing twice is closing once."""
    store = await TaskStore.open(path, SCHEMA)
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailableError):
        await store.add(order())
    with pytest.raises(StoreUnavailableError):
        await store.get("x")


async def test_no_acknowledged_task_waits_for_the_disk(store: TaskStore) -> None:
    """The connection that writes is in WAL mode with full synchronisation."""
    journal, synchronous, foreign_keys = [
        await pragma(store, name) for name in ("journal_mode", "synchronous", "foreign_keys")
    ]

    assert (*journal, *synchronous, *foreign_keys) == ("wal", 2, 1)


async def test_a_failed_task_begins_a_new_cycle(store: TaskStore) -> None:
    """It is queued again without what came of it, and a mover of the old cycle comes too late."""
    failed = await moved(store, await store.add(order()), SUBMITTING, TaskStatus.FAILED)
    await store.request_cancel(failed.id)

    again = await store.retry(failed.id, order())

    assert (again.status, again.cycle, again.progress) == (TaskStatus.QUEUED, 2, 0.0)
    assert (again.error_data, again.completed_at, again.submitted_at) == (None, None, None)
    with pytest.raises(NotFailedError):
        await store.retry(failed.id, order())
    first_cycle = dataclasses.replace(again, cycle=1)
    assert await store.move(first_cycle, SUBMITTING) is None
    assert await store.move(again, SUBMITTING) is not None


async def test_a_task_made_again_waits_where_there_is_room(store: TaskStore) -> None:
    """A full queue takes no old task either."""
    failed = await moved(store, await store.add(order()), TaskStatus.FAILED)
    await store.add(order())

    with pytest.raises(QueueFullError):
        await store.retry(failed.id, order(), max_queued=1)

    assert await store.get(failed.id) == failed


async def test_a_prediction_that_was_let_go_is_nobody_s(store: TaskStore) -> None:
    """What an earlier cycle ordered is taken for no new order, of this task or of another."""
    task = await moved(store, await store.add(order()), SUBMITTING)
    running = await store.move(task, RUNNING, prediction_id="p-1")
    assert running is not None
    assert await store.by_prediction("p-1") == running
    queued = await store.move(running, TaskStatus.QUEUED, prediction_id=None, retries=1)
    assert queued is not None

    for mover in (queued, await store.add(order())):
        submitting = await moved(store, mover, SUBMITTING)
        with pytest.raises(PredictionTakenError):
            await store.move(submitting, RUNNING, prediction_id="p-1")

    assert await store.by_prediction("p-1") is None


async def test_everything_a_move_changes_is_kept(store: TaskStore) -> None:
    """Each change comes back from the disk as it was given."""
    task = await moved(store, await store.add(order()), SUBMITTING)
    file = {"sha256": "ab", "bytes": 3, "content_type": "image/png", "path": "ab/é.png"}

    changed = await store.move(
        task,
        RUNNING,
        retries=2,
        models_tried=("a/b", "c/d"),
        provider_model="e/f",
        provider_input={"prompt": "x"},
        fingerprint="0" * 64,
        deadline_s=90.5,
        files=(file,),
        estimated_cost_usd=0.04,
    )

    assert changed is not None
    assert changed == await store.get(task.id)
    assert (changed.retries, changed.models_tried, changed.running_model) == (
        2,
        ("a/b", "c/d"),
        "e/f",
    )
    assert (changed.files, changed.deadline_s, changed.estimated_cost_usd) == ((file,), 90.5, 0.04)


async def test_room_is_known_exactly(store: TaskStore) -> None:
    """Whatever joins and leaves the queue, just as many wait as may: no fewer, no more."""
    tasks = [await store.add(order(), max_queued=3) for _ in range(3)]
    with pytest.raises(QueueFullError):
        await store.add(order(), max_queued=3)

    submitting = await moved(store, tasks[0], SUBMITTING)
    tasks.append(await store.add(order(), max_queued=3))
    await moved(store, submitting, TaskStatus.QUEUED)
    with pytest.raises(QueueFullError):
        await store.add(order(), max_queued=4)

    await moved(store, tasks[1], TaskStatus.FAILED)
    await store.retry(tasks[1].id, order(), max_queued=4)
    with pytest.raises(QueueFullError):
        await store.add(order(), max_queued=4)
    assert [await store.queue_position(task.id) for task in tasks] == [1, 2, 3, 4]
