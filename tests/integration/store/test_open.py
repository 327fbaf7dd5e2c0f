"""Opening the store: new files, existing files, and files that must not be changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import (
    StoreCorruptError,
    StoreInUseError,
    StoreOpenError,
    StoreVersionError,
)
from phoenix_compat.tasks.store.opening import open_task_store
from tests.integration.worker.worker_harness import SCHEMA, task_params


def mode_of(path: Path) -> int:
    return path.stat().st_mode


def contents(path: Path) -> bytes:
    return path.read_bytes()


def make_folder(path: Path) -> None:
    path.mkdir()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_a_new_file_is_private_and_gets_the_schema(path: Path) -> None:
    """The file has the version of schema.sql and is readable only by its owner."""
    async with await open_task_store(path, SCHEMA):
        pass

    assert mode_of(path) & 0o077 == 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)
    connection.close()


async def test_close_leaves_a_single_undamaged_file(path: Path) -> None:
    """close checkpoints the WAL, so the file alone is the complete database."""
    async with await open_task_store(path, SCHEMA) as store:
        await store.add(task_params())

    assert not path.with_name("tasks.db-wal").exists()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" * 300])
async def test_a_file_that_is_not_a_database_is_not_changed(path: Path, content: bytes) -> None:
    """Such a file is refused with advice, and not a byte of it changes."""
    put(path, content)

    with pytest.raises(StoreCorruptError, match="restore it from a backup"):
        await open_task_store(path, SCHEMA)

    assert contents(path) == content


async def test_a_damaged_page_is_found(path: Path) -> None:
    """Damage on the disk is found when the store is opened."""
    async with await open_task_store(path, SCHEMA) as store:
        for number in range(50):
            await store.add(task_params(prompt=f"{number} " + "x" * 3_000))
    undamaged = contents(path)
    put(path, undamaged[: 4096 * 6] + b"\xab" * 4096 * 6 + undamaged[4096 * 12 :])

    with pytest.raises(StoreCorruptError):
        await open_task_store(path, SCHEMA)


async def test_a_newer_schema_is_refused(path: Path) -> None:
    """A file with a newer schema version is refused."""
    async with await open_task_store(path, SCHEMA):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StoreVersionError, match="version 99, newer than the 7"):
        await open_task_store(path, SCHEMA)


async def test_another_database_is_refused(path: Path) -> None:
    """A database of another program is refused."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()

    with pytest.raises(StoreVersionError, match="not a task database"):
        await open_task_store(path, SCHEMA)


async def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    """The error names the path and what to do."""
    tmp_path.joinpath("file").write_text("not a folder")

    with pytest.raises(StoreOpenError, match=r"file/tasks\.db.*choose a folder"):
        await open_task_store(tmp_path / "file" / "tasks.db", SCHEMA)


async def test_a_folder_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    """A folder cannot be opened as a database."""
    with pytest.raises(StoreOpenError):
        await open_task_store(tmp_path, SCHEMA)


async def test_a_wal_that_cannot_be_created_is_an_error(path: Path) -> None:
    """Opening fails when SQLite cannot create its WAL file."""
    make_folder(path.with_name("tasks.db-wal"))

    with pytest.raises(StoreOpenError, match="cannot use the database"):
        await open_task_store(path, SCHEMA)


async def test_two_stores_cannot_open_the_same_file(path: Path) -> None:
    """A second open fails until the first store is closed."""
    async with await open_task_store(path, SCHEMA):
        with pytest.raises(StoreInUseError, match="another process"):
            await open_task_store(path, SCHEMA)

    async with await open_task_store(path, SCHEMA) as store:
        assert await store.list() == []


async def test_a_locked_new_file_is_an_error(path: Path) -> None:
    """A new file that another connection has locked cannot be opened."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreOpenError, match="locked"):
        await open_task_store(path, SCHEMA, busy_timeout_s=0.05)

    other.close()
