"""What the store sums up for operators."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import aiosqlite

from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.worker_harness import task_params

SUBMITTING, RUNNING = TaskStatus.SUBMITTING, TaskStatus.RUNNING


async def test_unreadable_rows_are_left_out(store: TaskStore, path: Path) -> None:
    """A time or an error that cannot be read spoils no other row."""
    good = await store.add(task_params())
    await store.move(good, TaskStatus.FAILED, error_data={"code": "timed_out"})
    bad = await store.add(task_params())
    await store.move(bad, TaskStatus.FAILED, error_data={"code": "timed_out"})
    async with aiosqlite.connect(path) as raw:
        await raw.execute(
            "UPDATE tasks SET error_data = '{', input = x'ff' WHERE id = ?", (bad.id,)
        )
        await raw.commit()

    ended = await store.ended_since(good.created_at - timedelta(hours=1))

    assert [one.code for one in ended] == ["timed_out"]
    assert list(await store.prompts([good.number, bad.number], chars=9)) == [good.number]
