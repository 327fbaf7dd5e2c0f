"""Opening the store: new files, old files, files that must be left alone."""

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
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.worker_harness import SCHEMA, order


def mode_of(path: Path) -> int:
    return path.stat().st_mode


def contents(path: Path) -> bytes:
    return path.read_bytes()


def in_the_way(path: Path) -> None:
    path.mkdir()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_a_new_file_is_private_and_gets_the_schema(path: Path) -> None:
    """The file is made with the version of schema.sql, readable by its owner only."""
    async with await TaskStore.open(path, SCHEMA):
        pass

    assert mode_of(path) & 0o077 == 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


async def test_closing_leaves_one_sound_file(path: Path) -> None:
    """After close the WAL is checkpointed: the file alone is the database."""
    async with await TaskStore.open(path, SCHEMA) as store:
        await store.add(order())

    assert not path.with_name("tasks.db-wal").exists()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" * 300])
async def test_a_file_that_is_no_database_is_left_alone(path: Path, content: bytes) -> None:
    """Nonsense is refused with advice, and not a byte of it changes."""
    put(path, content)

    with pytest.raises(StoreCorruptError, match="restore it from a backup"):
        await TaskStore.open(path, SCHEMA)

    assert contents(path) == content


async def test_a_damaged_page_is_found(path: Path) -> None:
    """A page that went bad on disk is found at the start, not in the middle of a task."""
    async with await TaskStore.open(path, SCHEMA) as store:
        for number in range(50):
            await store.add(order(prompt=f"{number} " + "x" * 3_000))
    sound = contents(path)
    put(path, sound[: 4096 * 6] + b"\xab" * 4096 * 6 + sound[4096 * 12 :])

    with pytest.raises(StoreCorruptError):
        await TaskStore.open(path, SCHEMA)


async def test_a_newer_schema_is_refused(path: Path) -> None:
    """A file of a newer program is not touched by an older one."""
    async with await TaskStore.open(path, SCHEMA):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StoreVersionError, match="version 99, newer than the 2"):
        await TaskStore.open(path, SCHEMA)


async def test_someone_else_s_database_is_refused(path: Path) -> None:
    """A database that is not ours gets no tables of ours."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()

    with pytest.raises(StoreVersionError, match="no task database"):
        await TaskStore.open(path, SCHEMA)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Where no folder can be, the error says which path and why."""
    tmp_path.joinpath("file").write_text("in the way")

    with pytest.raises(StoreOpenError, match=r"file/tasks\.db.*choose a folder"):
        await TaskStore.open(tmp_path / "file" / "tasks.db", SCHEMA)


async def test_a_folder_in_the_file_s_place_is_an_error(tmp_path: Path) -> None:
    """A directory where the file should be is a clear refusal."""
    with pytest.raises(StoreOpenError):
        await TaskStore.open(tmp_path, SCHEMA)


async def test_a_journal_that_cannot_be_is_an_error(path: Path) -> None:
    """When SQLite cannot put its files beside the database, opening says so."""
    in_the_way(path.with_name("tasks.db-wal"))

    with pytest.raises(StoreOpenError, match="cannot use the database"):
        await TaskStore.open(path, SCHEMA)


async def test_two_servers_do_not_share_a_file(path: Path) -> None:
    """A second opener is refused while the first works, and welcome afterwards."""
    async with await TaskStore.open(path, SCHEMA):
        with pytest.raises(StoreInUseError, match="another process"):
            await TaskStore.open(path, SCHEMA)

    async with await TaskStore.open(path, SCHEMA) as store:
        assert await store.list() == []


async def test_a_locked_new_file_is_an_error(path: Path) -> None:
    """A file that another program holds for writing cannot become ours."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreOpenError, match="locked"):
        await TaskStore.open(path, SCHEMA, busy_timeout_s=0.05)

    other.close()
