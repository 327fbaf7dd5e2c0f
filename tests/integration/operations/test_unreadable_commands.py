"""Commands and maintenance work on a database with rows that cannot be read."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest

from phoenix_compat.operations.data.backup import Data, back_up
from phoenix_compat.operations.data.bundle import Manifest
from phoenix_compat.operations.data.prune import count_old
from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.pruning import PruneResult, prune_tasks
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.sqlite.database_copy import inspect_database
from tests.integration.operations.test_prune import NOW, names_in, set_age, statuses
from tests.integration.store.stored_tasks import SCHEMA_VERSION, make_data_dir
from tests.integration.store.unreadable_harness import UNREADABLE_VALUES, allow_nulls, put, stored
from tests.integration.worker.worker_harness import SCHEMA


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with a task in every state; the ended ones ended two days ago."""
    home = make_data_dir(tmp_path / "home")
    set_age(home, "1 = 1", days=2)
    for file in (home / "files").rglob("*.*"):
        os.utime(file, (0, 0))
    allow_nulls(home / "tasks.sqlite3")
    return home


async def prune(home: Path) -> PruneResult:
    """Prune what ended a day ago."""
    async with await open_task_store(home / "tasks.sqlite3", SCHEMA) as store:
        archive = Archive(home / "files", min_free_bytes=0)
        await archive.open()
        try:
            return await prune_tasks(store, archive, NOW - timedelta(days=1))
        finally:
            await archive.close()


def test_every_command_works(home: Path, tmp_path: Path) -> None:
    """Counting, pruning and a backup with verification, whatever value one row has."""
    path = home / "tasks.sqlite3"
    # A changed id leaves events without a task: that is damage, and reported as such.
    for column in UNREADABLE_VALUES.keys() - {"id"}:
        for value in UNREADABLE_VALUES[column]:
            put(path, "tasks", column, value, 1)
            count_old(path, NOW - timedelta(days=1))
            assert inspect_database(path, SCHEMA_VERSION).tasks == 6
        assert backed_up(home, tmp_path / f"{column}.tar").tasks == 6

    assert asyncio.run(prune(home)).tasks == 1
    assert stored(path, "SELECT count(*) FROM tasks WHERE status = 'failed'") == [(0,)]


@pytest.mark.parametrize("value", UNREADABLE_VALUES["completed_at"])
def test_an_ended_task_without_a_time_goes_by_its_last_change(home: Path, value: object) -> None:
    """It is neither kept for ever nor deleted too early."""
    path = home / "tasks.sqlite3"
    put(path, "tasks", "completed_at", value, 1)

    assert asyncio.run(prune(home)).tasks == 1
    assert statuses(home)[0] == "completed"

    put(path, "tasks", "updated_at", "2026-01-05T10:00:00.000Z", 1)
    assert count_old(path, NOW - timedelta(days=1)) == 1
    assert asyncio.run(prune(home)).tasks == 1


def test_a_file_that_an_unreadable_row_may_name_is_not_deleted(home: Path) -> None:
    """A file whose hash occurs in an unreadable list of files is not deleted."""
    path = home / "tasks.sqlite3"
    names = names_in(home)
    sha256 = min(names).partition(".")[0]
    put(path, "tasks", "files", f'[{{"sha256": "{sha256}", ', 6)

    asyncio.run(prune(home))

    assert {name.partition(".")[0] for name in names_in(home)} == {sha256}


def backed_up(home: Path, out: Path) -> Manifest:
    """Write and verify a backup."""
    data = Data(
        database=home / "tasks.sqlite3", files=home / "files", schema_version=SCHEMA_VERSION
    )
    return back_up(data, out)
