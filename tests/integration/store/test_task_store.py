"""The store on real SQLite files: adding, reading, listing, the queue, and errors."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import (
    StoreUnavailableError,
)
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.sqlite_connection import on_connection
from tests.integration.worker.worker_harness import task_params

SUBMITTING, RUNNING = TaskStatus.SUBMITTING, TaskStatus.RUNNING


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path in a folder that does not exist yet."""
    return tmp_path / "data" / "tasks.db"


async def pragma(store: TaskStore, text: str) -> tuple[object, ...]:
    """Run a PRAGMA on the connection that writes."""
    return await store._database.write(
        on_connection(lambda connection: tuple(connection.execute(f"PRAGMA {text}").fetchone()))
    )


async def test_a_locked_database_is_a_clear_error(store: TaskStore, path: Path) -> None:
    """While the file is locked writes fail and reads work; later writes work again."""
    stored = await store.add(task_params())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailableError, match="locked"):
        await store.add(task_params())

    assert await store.get(stored.id) == stored
    other.execute("ROLLBACK")
    other.close()
    assert (await store.add(task_params())).number == stored.number + 1


async def test_a_full_disk_is_a_clear_error(store: TaskStore) -> None:
    """A database that cannot grow refuses whole tasks and keeps the stored ones."""
    stored = await store.add(task_params())
    (pages,) = await pragma(store, "page_count")
    await pragma(store, f"max_page_count = {pages}")

    with pytest.raises(StoreUnavailableError, match="full"):
        await asyncio.gather(*(store.add(task_params(prompt="x" * 9_000)) for _ in range(20)))

    await pragma(store, "max_page_count = 100000")
    assert (await store.list())[-1] == stored
    assert {len(list(await store.events(task.id))) for task in await store.list()} == {1}


async def test_the_reading_connection_cannot_write(store: TaskStore) -> None:
    """A DELETE on the reading connection is refused."""
    with pytest.raises(StoreUnavailableError, match="readonly"):
        await store._database.read("DELETE FROM tasks")


async def test_the_writing_connection_is_durable(store: TaskStore) -> None:
    """It is in WAL mode with synchronous=FULL and foreign keys."""
    journal, synchronous, foreign_keys = [
        await pragma(store, name) for name in ("journal_mode", "synchronous", "foreign_keys")
    ]

    assert (*journal, *synchronous, *foreign_keys) == ("wal", 2, 1)
