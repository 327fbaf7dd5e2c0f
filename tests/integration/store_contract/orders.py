"""What the tests of caps share: orders, moves, and the sums that are counted."""

from __future__ import annotations

from typing import Any

from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.spending import ALL, subject_of
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.worker_harness import task_params

QUEUED, SUBMITTING, RUNNING = TaskStatus.QUEUED, TaskStatus.SUBMITTING, TaskStatus.RUNNING
COMPLETED, FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED
DAY, MONTH = "2026-01-05", "2026-01"
CENTS_2 = 20_000
"""The price of the default model, in micro-dollars."""


async def order(store: TaskStore, owner: str = "ann", **inputs: Any) -> Task:
    """Add a task of an owner."""
    return await store.add(task_params(**inputs), owner=owner)


async def move(store: TaskStore, task: Task, to: TaskStatus, **changes: Any) -> Task:
    """Move a task; a move to `submitting` counts one more create."""
    if to is SUBMITTING:
        changes = {"attempts": task.attempts + 1} | changes
    moved = await store.move(task, to, **changes)
    assert moved is not None
    return moved


async def sums(store: TaskStore, owner: str = "ann", day: str = DAY) -> list[tuple[int, int]]:
    """What was ordered: by the owner in the day and the month, then by all."""
    found = [
        await store.spending(period, subject)
        for subject in (subject_of(owner), ALL)
        for period in (day, day[:7])
    ]
    return [(one.tasks, one.microdollars) for one in found if one is not None]
