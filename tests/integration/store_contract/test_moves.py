"""Changes to stored tasks: moves, predictions, progress, cancels and retries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from phoenix_compat.tasks.model.errors import (
    NotFailedError,
    PredictionTakenError,
    QueueFullError,
    StoreError,
    StoreUnavailableError,
    TaskNotFoundError,
)
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.stored_tasks import moved
from tests.integration.worker.worker_harness import task_params

SUBMITTING, RUNNING = TaskStatus.SUBMITTING, TaskStatus.RUNNING


async def test_a_move_is_written_with_its_event(store: TaskStore) -> None:
    """Each move adds an event; events are numbered from one."""
    task = await moved(store, await store.add(task_params()), SUBMITTING, RUNNING)

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


async def test_only_one_of_two_concurrent_moves_wins(store: TaskStore) -> None:
    """Of two concurrent moves one returns the task and the other None; one event is added."""
    task = await moved(store, await store.add(task_params()), SUBMITTING, RUNNING)

    moves = await asyncio.gather(
        store.move(task, TaskStatus.COMPLETED, result_data={}),
        store.move(task, TaskStatus.FAILED, error_data={"code": "timed_out"}),
    )

    assert [move is None for move in moves].count(True) == 1
    current = await store.get(task.id)
    assert current in moves
    assert len(list(await store.events(task.id))) == 4


async def test_a_prediction_belongs_to_one_task(store: TaskStore) -> None:
    """A second task with the same prediction is refused; its move changes nothing."""
    first = await moved(store, await store.add(task_params()), SUBMITTING)
    second = await moved(store, await store.add(task_params()), SUBMITTING)
    await store.move(first, RUNNING, prediction_id="p-1")

    with pytest.raises(PredictionTakenError):
        await store.move(second, RUNNING, prediction_id="p-1")

    assert await store.get(second.id) == second
    assert len(list(await store.events(second.id))) == 2


async def test_progress_only_rises(store: TaskStore) -> None:
    """Progress is only ever raised, and only while the task is running."""
    task = await moved(store, await store.add(task_params()), SUBMITTING, RUNNING)

    raised = await store.record_progress(task, 0.5)

    assert raised is not None
    assert raised.progress == 0.5
    assert await store.record_progress(task, 0.4) is None
    await moved(store, raised, TaskStatus.FAILED)
    assert await store.record_progress(task, 0.9) is None


async def test_a_cancel_is_recorded_once(store: TaskStore) -> None:
    """A repeated cancel adds no event, and a move does not clear the request."""
    task = await store.add(task_params())

    await store.request_cancel(task.id)
    await store.request_cancel(task.id)

    submitting = await moved(store, task, SUBMITTING)
    assert submitting.is_cancel_requested
    names = [event.event for event in await store.events(task.id)]
    assert names == ["queued", "cancel_requested", "submitting"]


async def test_cancelling_an_unknown_task_is_an_error(store: TaskStore) -> None:
    """A cancel of a task that does not exist raises TaskNotFoundError."""
    with pytest.raises(TaskNotFoundError):
        await store.request_cancel("no-such")


async def test_a_violated_constraint_is_not_temporary(store: TaskStore) -> None:
    """A value that the schema refuses is a StoreError, and the next write works."""
    task = await moved(store, await store.add(task_params()), SUBMITTING)

    with pytest.raises(StoreError, match="refused a value") as refusal:
        await store.move(task, RUNNING, progress=7.0)

    assert not isinstance(refusal.value, StoreUnavailableError)
    assert await store.get(task.id) == task
    assert await store.move(task, RUNNING) is not None


async def test_a_failed_task_begins_a_new_cycle(store: TaskStore) -> None:
    """A retried task has nothing of its last cycle, and a late move of that cycle fails."""
    failed = await moved(store, await store.add(task_params()), SUBMITTING, TaskStatus.FAILED)
    await store.request_cancel(failed.id)

    retried = await store.retry(failed.id, task_params())

    assert (retried.status, retried.cycle, retried.progress) == (TaskStatus.QUEUED, 2, 0.0)
    assert (retried.error_data, retried.completed_at, retried.submitted_at) == (None, None, None)
    with pytest.raises(NotFailedError):
        await store.retry(failed.id, task_params())
    first_cycle = msgspec.structs.replace(retried, cycle=1)
    assert await store.move(first_cycle, SUBMITTING) is None
    assert await store.move(retried, SUBMITTING) is not None


async def test_a_full_queue_refuses_a_retry(store: TaskStore) -> None:
    """A retry counts against the limit of the queue."""
    failed = await moved(store, await store.add(task_params()), TaskStatus.FAILED)
    await store.add(task_params())

    with pytest.raises(QueueFullError):
        await store.retry(failed.id, task_params(), max_queued=1)

    assert await store.get(failed.id) == failed


async def test_a_prediction_that_was_given_up_stays_assigned(store: TaskStore) -> None:
    """A prediction of an earlier cycle is not accepted again, for this task or another."""
    task = await moved(store, await store.add(task_params()), SUBMITTING)
    running = await store.move(task, RUNNING, prediction_id="p-1")
    assert running is not None
    assert await store.by_prediction("p-1") == running
    queued = await store.move(running, TaskStatus.QUEUED, prediction_id=None, retries=1)
    assert queued is not None

    for task in (queued, await store.add(task_params())):
        submitting = await moved(store, task, SUBMITTING)
        with pytest.raises(PredictionTakenError):
            await store.move(submitting, RUNNING, prediction_id="p-1")

    assert await store.by_prediction("p-1") is None


async def test_everything_that_a_move_changes_is_stored(store: TaskStore) -> None:
    """Each change is read as it was written."""
    task = await moved(store, await store.add(task_params()), SUBMITTING)
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


async def test_a_move_returns_what_get_reads(store: TaskStore) -> None:
    """Also times that are finer than stored ones, and what others have changed meanwhile."""
    task = await moved(store, await store.add(task_params()), SUBMITTING)
    at = datetime(2026, 1, 5, 10, 0, 0, 123_456, tzinfo=UTC)
    await store.request_cancel(task.id)
    await store.adopt("key:ada")

    running = await store.move(task, RUNNING, prediction_id="p-1", submitted_at=at, started_at=at)
    assert running == await store.get(task.id)
    assert running is not None
    assert (running.owner, running.is_cancel_requested) == ("key:ada", True)
    result = {"text": "é \N{GRINNING FACE} \u0000", "numbers": [1, 1.5, 2**40]}
    done = await store.move(running, TaskStatus.COMPLETED, completed_at=at, result_data=result)

    assert done == await store.get(task.id)
