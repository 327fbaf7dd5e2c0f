"""The queue in SQLite: owners that cannot be read, and the cost of a turn."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.statements import queue_queries
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.unreadable_harness import put
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import SCHEMA, task_params

NOW = "2026-01-05T10:00:00.000Z"


async def fill(store: TaskStore, owners: Iterable[str]) -> list[Task]:
    """Add a task for each of these owners, in this order."""
    return [await store.add(task_params(), owner=owner) for owner in owners]


@pytest.mark.parametrize("value", [None, b"\xff", "two\nlines", 5])
async def test_a_task_with_an_unreadable_owner_is_due(path: Path, value: object) -> None:
    """So the worker can set it aside; a number is read as its digits."""
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        tasks = await fill(store, ["ada", "bob"])
        await asyncio.to_thread(_allow_null_owners, path)
        await asyncio.to_thread(put, path, "tasks", "owner", value, tasks[0].number)

        due = await store.due(9)

        assert {task.id for task in due} == {task.id for task in tasks}
        unreadable = [task.id for task in due if task.is_set_aside]
        assert unreadable == ([] if value == 5 else [tasks[0].id])


def _allow_null_owners(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'owner            TEXT    NOT NULL',"
            " 'owner TEXT') WHERE name = 'tasks'"
        )


def crowded(path: Path, owners: Iterable[str]) -> None:
    """Fill a database with queued tasks."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO tasks (id, type, task_type, model, input, provider_input, fingerprint,"
            " status, created_at, updated_at, owner) VALUES (?, 'image', 'image_gen', 'a/b',"
            " '{}', '{}', 'f', 'queued', ?, ?, ?)",
            ((f"t-{number}", NOW, NOW, owner) for number, owner in enumerate(owners)),
        )


@pytest.mark.parametrize("is_one_owner", [True, False])
def test_the_cost_of_a_turn_depends_on_the_limit_only(path: Path, *, is_one_owner: bool) -> None:
    """With 100 and with 10 000 queued tasks, SQLite runs about the same number of steps."""
    steps: dict[int, int] = {}
    for count in (100, 10_000):
        database = path.with_name(f"{count}.db")
        crowded(database, ("ada" if is_one_owner else f"user-{n:05}" for n in range(count)))
        with closing(sqlite3.connect(database)) as connection:
            tens = itertools.count()
            connection.set_progress_handler(partial(_count, tens), 10)
            params = {
                "now": NOW,
                "tomorrow": "2026-01-06T10:00:00.000Z",
                "limit": 8,
                "served": "user-00050",
            }

            rows = connection.execute(queue_queries.DUE_TASKS, params).fetchall()

            assert len(rows) == 8
            steps[count] = next(tens)

    assert steps[10_000] <= steps[100] * 1.5 + 20


def _count(counter: Iterator[int]) -> int:
    """Count a call of SQLite's, and let it go on."""
    next(counter)
    return 0
