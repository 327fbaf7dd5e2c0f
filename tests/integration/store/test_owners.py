"""Owners in SQLite: rows that cannot be read, and the order of the columns."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.task import UNREADABLE_OWNER, Task
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import IdempotencyKey, TaskStore
from tests.integration.store.unreadable_harness import put
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import SCHEMA, task_params

KEY = IdempotencyKey("once", "f" * 64)


async def added(store: TaskStore, owner: str, count: int = 1) -> list[Task]:
    """Add tasks of an owner."""
    return [await store.add(task_params(), owner=owner) for _ in range(count)]


@pytest.mark.parametrize("value", ["two\nlines", "x" * 5_000, b"ada", b"\xff"])
async def test_an_unreadable_owner_is_visible_to_operators_only(
    path: Path, value: str | bytes
) -> None:
    """No owner finds the task, not even one with the same bytes."""
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        (task,) = await added(store, "ada")
        await asyncio.to_thread(put, path, "tasks", "owner", value, task.number)

        shown = await store.get(task.id)

        assert shown is not None
        assert (shown.owner, shown.unreadable) == (UNREADABLE_OWNER, ("owner",))
        for owner in ("ada", "", "unreadable", UNREADABLE_OWNER):
            assert await store.get(task.id, owner=owner) is None
            assert await store.list(owner=owner) == []


async def test_the_inputs_are_the_last_columns(store: TaskStore) -> None:
    """SQLite reads all columns before the one that is asked for, so the long ones come last."""
    rows = await store._database.read("PRAGMA table_info(tasks)")

    assert [row["name"] for row in rows][-2:] == ["input", "provider_input"]
