"""Pruning: old tasks are deleted with what only they use; everything else stays."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from phoenix_compat.tasks import pruning
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.pruning import PruneResult, prune_tasks
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.sqlite.database_file import lock_file
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.operations.commands import run
from tests.integration.store.stored_tasks import make_data_dir, make_stored_file
from tests.integration.worker.worker_harness import SCHEMA

NOW = datetime.now(UTC)
COMMAND = ("-m", "phoenix_compat", "prune", "--data-dir")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory whose completed and failed tasks ended two days ago."""
    home = make_data_dir(tmp_path)
    set_age(home, "1 = 1", days=2)
    for path in (home / "files").rglob("*.*"):
        long_ago_s = (NOW - timedelta(days=2)).timestamp()
        os.utime(path, (long_ago_s, long_ago_s))
    return home


def set_age(home: Path, which: str, days: float) -> None:
    """Set the time of ended tasks to so many days ago."""
    at = (NOW - timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with closing(sqlite3.connect(home / "tasks.sqlite3")) as connection, connection:
        connection.execute(
            f"UPDATE tasks SET completed_at = ? WHERE completed_at IS NOT NULL AND {which}",  # noqa: S608 - our own text
            (at,),
        )


def set_files(home: Path, status: str, files: list[StoredFile]) -> None:
    """Give the tasks of a status these files."""
    with closing(sqlite3.connect(home / "tasks.sqlite3")) as connection, connection:
        text = json.dumps([file.document() for file in files])
        connection.execute("UPDATE tasks SET files = ? WHERE status = ?", (text, status))


def statuses(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "tasks.sqlite3")) as connection:
        rows = connection.execute("SELECT status FROM tasks ORDER BY number").fetchall()
    return [row[0] for row in rows]


def rows_of(home: Path, table: str) -> int:
    with closing(sqlite3.connect(home / "tasks.sqlite3")) as connection:
        query = f"SELECT count(*) FROM {table} JOIN tasks ON tasks.id = task_id"  # noqa: S608 - our own text
        count = connection.execute(query).fetchone()[0]
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == count  # noqa: S608 - our own text
    return int(count)


def names_in(home: Path) -> set[str]:
    return {path.name for path in (home / "files").rglob("*.*")}


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[tuple[TaskStore, Archive]]:
    """The store and the archive of a data directory."""
    async with await open_task_store(home / "tasks.sqlite3", SCHEMA) as store:
        archive = Archive(home / "files", min_free_bytes=0)
        await archive.open()
        yield store, archive
        await archive.close()


async def prune(home: Path, days: float) -> PruneResult:
    """Prune what ended so many days ago."""
    async with opened(home) as (store, archive):
        return await prune_tasks(store, archive, NOW - timedelta(days=days))


def test_old_tasks_are_deleted_with_all_their_data(home: Path) -> None:
    """Ended tasks, their events, predictions and files are deleted; unfinished tasks stay."""
    done = asyncio.run(prune(home, days=1))

    assert done == PruneResult(tasks=2, freed_bytes=4 * len("picture 1"))
    assert statuses(home) == ["running", "submitting", "queued", "queued"]
    assert rows_of(home, "events") == 8
    assert rows_of(home, "predictions") == 1
    assert names_in(home) == set()


def test_younger_tasks_stay(home: Path) -> None:
    """Tasks that ended more recently are not deleted."""
    set_age(home, "status = 'completed'", days=0.5)

    assert asyncio.run(prune(home, days=1)).tasks == 1

    assert statuses(home)[0] == "completed"
    assert len(names_in(home)) == 4


def test_a_file_that_a_younger_task_uses_too_stays(home: Path) -> None:
    """The same picture in two tasks is one file, and is deleted with the last task that uses it."""
    shared = make_stored_file(home / "files", "picture 1")
    set_files(home, "failed", [shared])
    set_age(home, "status = 'failed'", days=0.5)

    done = asyncio.run(prune(home, days=1))

    assert done.tasks == 1
    assert {name.partition(".")[0] for name in names_in(home)} == {shared.sha256}


def test_a_new_file_stays(home: Path) -> None:
    """A file younger than an hour is not deleted: its task may not be stored yet."""
    young = make_stored_file(home / "files", "picture 2")

    asyncio.run(prune(home, days=1))

    assert {name.partition(".")[0] for name in names_in(home)} == {young.sha256}


def test_tasks_are_deleted_in_batches(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is a transaction; together they delete all old tasks."""
    monkeypatch.setattr(pruning, "BATCH_SIZE", 1)

    assert asyncio.run(prune(home, days=1)).tasks == 2


def test_the_command(home: Path) -> None:
    """--dry-run only counts; while a server runs it refuses and names the setting."""
    command = (*COMMAND, str(home), "--older-than", "1")
    with lock_file(home / "tasks.sqlite3"):
        counted = asyncio.run(run(*command, "--dry-run"))
        refused = asyncio.run(run(*command))
    done = asyncio.run(run(*command))

    assert counted.out.startswith("2 tasks ended before"), counted.err
    assert refused.code == 2
    assert "set keep_tasks_s" in refused.err
    assert done.out == "2 tasks deleted, 0.0 MB of files freed\n", done.err
    assert len(statuses(home)) == 4
