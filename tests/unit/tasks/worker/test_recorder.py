"""Writes whose answer is lost, and tasks that another node has taken."""

from __future__ import annotations

from collections import Counter
from typing import Unpack

import msgspec
import pytest

from phoenix_compat.tasks.model.errors import LeaseLostError, StoreUnavailableError
from phoenix_compat.tasks.model.task import Task, TaskChanges, TaskStatus
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.recorder import Recorder
from tests.integration.worker.fake_provider import FakeClock
from tests.unit.tasks.sample_tasks import make_task
from tests.unit.tasks.worker.memory_store import MemoryStore


class DeafStore(MemoryStore):
    """Carries the first move out, and loses the answer."""

    answers = False

    async def move(self, task: Task, to: TaskStatus, **changes: Unpack[TaskChanges]) -> Task | None:
        """See `TaskStore`."""
        moved = await super().move(task, to, **changes)
        if self.answers:
            return moved
        self.answers = True
        raise StoreUnavailableError("the connection was lost during the commit")


def recorder_of(store: MemoryStore, clock: FakeClock) -> tuple[Recorder, list[Task]]:
    announced: list[Task] = []
    return Recorder(store, announced.append, clock, WorkerOptions(), Counter()), announced


async def test_an_end_whose_commit_was_not_answered_is_announced() -> None:
    """It was committed, so the second try finds it done; its clients hear of it once."""
    clock = FakeClock()
    store = DeafStore(make_task(TaskStatus.RUNNING), clock)
    recorder, announced = recorder_of(store, clock)

    ended = await recorder.move(store.task, TaskStatus.COMPLETED, result_data={})

    assert ended.status is TaskStatus.COMPLETED
    assert announced == [ended]


async def test_an_end_that_somebody_else_wrote_is_not_announced() -> None:
    """It was announced by whoever wrote it."""
    clock = FakeClock()
    running = make_task(TaskStatus.RUNNING)
    store = MemoryStore(running.moved(TaskStatus.FAILED, clock.now(), error_data={}), clock)
    recorder, announced = recorder_of(store, clock)

    ended = await recorder.move(running, TaskStatus.FAILED, error_data={})

    assert ended.status is TaskStatus.FAILED
    assert announced == []


async def test_a_task_that_another_node_took_is_left_alone() -> None:
    """The error ends the run; nothing was written or announced."""
    clock = FakeClock()
    running = make_task(TaskStatus.RUNNING)
    ended = running.moved(TaskStatus.COMPLETED, clock.now(), result_data={})
    store = MemoryStore(msgspec.structs.replace(ended, lease=1), clock)
    recorder, announced = recorder_of(store, clock)

    with pytest.raises(LeaseLostError):
        await recorder.move(running, TaskStatus.FAILED, error_data={})
    with pytest.raises(LeaseLostError):
        await recorder.progress(running, 0.9)
    assert announced == []
    assert store.task.status is TaskStatus.COMPLETED
