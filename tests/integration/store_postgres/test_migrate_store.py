"""Everything of an SQLite file goes to PostgreSQL, verified, also after an interruption."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from phoenix_compat.operations.data import migrate_store as operation
from phoenix_compat.operations.data.migrate_store import Migration, migrate_store
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.tasks.model.errors import (
    StoreInUseError,
    StoreOpenError,
    StoreUnavailableError,
)
from phoenix_compat.tasks.model.inputs.file_inputs import UsedUpload
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.database import Work
from phoenix_compat.tasks.store.opening import open_shared_task_store, open_task_store
from phoenix_compat.tasks.store.outbox.outbox import EVENTS, Outbox, Subscription
from phoenix_compat.tasks.store.postgres.database import PostgresDatabase
from phoenix_compat.tasks.store.sent_file_store import SentFileStore
from phoenix_compat.tasks.store.task_store import IdempotencyKey, TaskStore
from phoenix_compat.tasks.store.transfer import snapshot, store_copy
from phoenix_compat.tasks.store.transfer.tables import OF_NODES, TABLES, Table
from phoenix_compat.tasks.store.upload_store import UploadStore
from tests.integration.store.dump_store import fill
from tests.integration.store_contract.engines import POSTGRES_SCHEMA
from tests.integration.worker.fake_provider import START
from tests.integration.worker.worker_harness import SCHEMA, task_params

T = TypeVar("T")
SHA256 = "a" * 64


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    """The database of a server, with rows in every table."""
    path = tmp_path / "tasks.sqlite3"
    await fill(path)
    async with await open_task_store(path, SCHEMA) as store:
        await fill_other_tables(store)
    return path


async def fill_other_tables(store: TaskStore) -> None:
    keys = KeyStore(store)
    await keys.start()
    await keys.create("phone", {Scope.READ})
    await keys.stop()
    await UploadStore(store).add("ada", SHA256, "image/png", 3)
    await SentFileStore(store).add(SHA256, "https://r/1", START + timedelta(days=9_999))
    store.outbox = Outbox(
        [Subscription("hook", frozenset(EVENTS))], lambda task: {"id": task.id}, 2
    )
    params = replace(task_params(), uploads=(UsedUpload("input_data.image", SHA256),))
    await store.add_once(params, IdempotencyKey("once", "f"), owner="ada")
    for text in ("é \N{GRINNING FACE}", "\\ \u0000 \"'"):
        await store.add(task_params(prompt=text))


def query(path: Path, sql: str, *params: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        return connection.execute(sql, params).fetchall()


async def is_there(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


def counts(migration: Migration) -> dict[str, tuple[int, int, int]]:
    """Table -> rows, rows that were written, rows that were deleted."""
    return {
        one.table.name: (one.target.rows, one.copied.written, one.copied.deleted)
        for one in migration.tables
    }


def test_every_table_is_copied_or_of_nodes() -> None:
    """A new table must be in one of the two lists."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        found = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()

    assert {name for (name,) in found} == {table.name for table in TABLES} | OF_NODES


async def test_everything_is_copied(home: Path, postgres_url: str) -> None:
    """Tasks, keys and all others are read as before; the file has another name afterwards."""
    migration = await migrate_store(home, postgres_url, is_final=True)

    assert migration.is_verified
    assert migration.left_out == ()
    assert migration.kept_as == home.with_name("tasks.sqlite3.migrated")
    assert all(rows == written > 0 for rows, written, _ in counts(migration).values())
    assert not await is_there(home)
    async with (
        await open_task_store(migration.kept_as, SCHEMA) as before,
        await open_shared_task_store(postgres_url, POSTGRES_SCHEMA) as after,
    ):
        tasks = await before.list()
        assert await after.list() == tasks
        assert len({task.status for task in tasks}) == 5
        for task in tasks:
            assert await after.events(task.id) == await before.events(task.id)
        assert await KeyStore(after).records() == await KeyStore(before).records()
        once = IdempotencyKey("once", "f")
        assert await after.add_once(task_params(), once, owner="ada") == (tasks[2], True)
        assert (await after.add(task_params())).number == tasks[0].number + 1


async def test_a_copy_is_brought_up_to_date(home: Path, postgres_url: str) -> None:
    """A server goes on meanwhile; the next run writes what has changed, and no more."""
    async with await open_task_store(home, SCHEMA) as store:
        first = await migrate_store(home, postgres_url, is_final=False)
        again = await migrate_store(home, postgres_url, is_final=False)
        (newest, second, *_) = await store.list()
        moved = await store.move(second, TaskStatus.SUBMITTING, attempts=1)
        added = await store.add(task_params())
        await store.delete_ended([1, 2], START + timedelta(days=9_999))
        with pytest.raises(StoreInUseError, match="stop it for the final run"):
            await migrate_store(home, postgres_url, is_final=True)
    await asyncio.to_thread(query, home, "DELETE FROM tasks WHERE number = ?", newest.number)

    last = await migrate_store(home, postgres_url, is_final=True)

    assert first.is_verified
    assert first.kept_as is None
    assert all(written == deleted == 0 for _, written, deleted in counts(again).values())
    assert again.is_verified
    assert last.is_verified
    assert last.left_out == ()
    assert counts(last)["tasks"] == (first.tables[0].target.rows - 2, 2, 3)
    async with await open_shared_task_store(postgres_url, POSTGRES_SCHEMA) as after:
        assert [task.id for task in (await after.list())[:2]] == [added.id, second.id]
        assert await after.get(second.id) == moved


async def test_an_interrupted_copy_goes_on(
    home: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before is not written again; at the end, too."""
    with monkeypatch.context() as patch:
        patch.setattr(store_copy.StoreCopy, "_set_number", _break)
        with pytest.raises(StoreUnavailableError):
            await migrate_store(home, postgres_url, is_final=True)
    assert await is_there(home)
    with pytest.raises(StoreOpenError, match="migrate-store --final"):
        await open_shared_task_store(postgres_url, POSTGRES_SCHEMA)
    with monkeypatch.context() as patch:
        patch.setattr("phoenix_compat.tasks.store.postgres.filling.end_filling", _break)
        with pytest.raises(StoreUnavailableError):
            await migrate_store(home, postgres_url, is_final=True)
    assert not await is_there(home)

    done = await migrate_store(home, postgres_url, is_final=True)

    assert done.is_verified
    assert counts(done)["tasks"][1] == counts(done)["events"][1] == 0
    assert done.kept_as is not None
    await (await open_shared_task_store(postgres_url, POSTGRES_SCHEMA)).close()


async def test_a_copy_that_breaks_off_everywhere_arrives(
    home: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run loses its connection at another write; together they write each row once."""
    monkeypatch.setattr(snapshot, "MAX_ROWS", 2)
    write = PostgresDatabase.write
    written, left = 0, 0

    async def break_later(database: PostgresDatabase, work: Work[T]) -> T:
        nonlocal left
        left -= 1
        if left < 0:
            await _break()
        return await write(database, work)

    monkeypatch.setattr(PostgresDatabase, "write", break_later)
    copy = store_copy.StoreCopy.copy

    async def counting(one: store_copy.StoreCopy, table: Table) -> store_copy.Copied:
        nonlocal written
        done = await copy(one, table)
        written += done.written
        return done

    monkeypatch.setattr(store_copy.StoreCopy, "copy", counting)
    done: Migration | None = None
    runs = 0
    while done is None:
        left = runs = runs + 1
        with contextlib.suppress(StoreUnavailableError):
            done = await migrate_store(home, postgres_url, is_final=True)

    assert runs > 5
    assert done.is_verified
    assert done.kept_as is not None
    assert written <= sum(rows for rows, _, _ in counts(done).values())


async def _break(*_arguments: object) -> None:
    raise StoreUnavailableError("the connection is lost")


async def test_rows_that_cannot_be_stored_are_left_out(home: Path, postgres_url: str) -> None:
    """They are named without values, and the file stays until that is allowed."""
    ids = await asyncio.to_thread(query, home, "SELECT id FROM tasks ORDER BY number")
    for number, column, value in (
        (1, "input", "{secret"),
        (2, "model", b"\xff"),
        (3, "created_at", "secret"),
        (4, "attempts", "many"),
        (5, "attempts", 2**40),
    ):
        sql = f"UPDATE tasks SET {column} = ? WHERE number = ?"  # noqa: S608 - a test
        await asyncio.to_thread(query, home, sql, value, number)

    refused = await migrate_store(home, postgres_url, is_final=True)
    left = await migrate_store(home, postgres_url, is_final=True, may_leave_out=True)

    assert refused.is_verified
    assert refused.kept_as is None
    assert refused.left_out == left.left_out
    assert [text.split(": ", 1) for text in left.left_out] == [
        [f"a row of tasks of task {ids[0][0]}", "input: expected JSON"],
        [f"a row of tasks of task {ids[1][0]}", "model: expected a text"],
        [
            f"a row of tasks of task {ids[2][0]}",
            'created_at: expected a time like "2026-01-05T10:00:00.000Z"',
        ],
        [f"a row of tasks of task {ids[3][0]}", "attempts: expected a whole number of 32 bits"],
        [f"a row of tasks of task {ids[4][0]}", "attempts: expected a whole number of 32 bits"],
    ]
    async with await open_shared_task_store(postgres_url, POSTGRES_SCHEMA) as after:
        stored = {task.id for task in await after.list()}
        assert stored == {task_id for (task_id,) in ids[5:]}


async def test_a_row_that_only_postgresql_refuses_is_found(home: Path, postgres_url: str) -> None:
    """The others of its transaction are written."""
    with closing(sqlite3.connect(home)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE tasks SET progress = 2.0 WHERE number = 3")
    ((total,),) = await asyncio.to_thread(query, home, "SELECT count(*) - 1 FROM tasks")

    migration = await migrate_store(home, postgres_url, is_final=False)

    assert migration.is_verified
    assert len(migration.left_out) == 1
    assert counts(migration)["tasks"][0] == total


async def test_a_database_with_rows_of_its_own_is_refused(home: Path, postgres_url: str) -> None:
    """Also the one of a migration that is finished, so that nothing newer is overwritten."""
    async with await open_shared_task_store(postgres_url, POSTGRES_SCHEMA) as store:
        await store.add(task_params())

    with pytest.raises(StoreOpenError, match="use an empty database"):
        await migrate_store(home, postgres_url, is_final=False)

    assert await is_there(home)


async def test_a_database_that_servers_use_is_refused(home: Path, postgres_url: str) -> None:
    """They would run the tasks that are copied."""
    async with await open_shared_task_store(postgres_url, POSTGRES_SCHEMA) as store:
        await store.database.write(
            lambda transaction: transaction.rows(
                "INSERT INTO nodes (id, name, version, started_at, seen_at)"
                " VALUES ('n', 'n', '1', now(), now())"
            )
        )

        with pytest.raises(StoreOpenError, match="1 servers use it"):
            await migrate_store(home, postgres_url, is_final=False)


async def test_a_file_beside_a_moved_one_is_refused(home: Path, postgres_url: str) -> None:
    """A server that began anew must not empty the copy of the old file."""
    await migrate_store(home, postgres_url, is_final=True)
    await (await open_task_store(home, SCHEMA)).close()

    for is_final in (False, True):
        with pytest.raises(StoreOpenError, match="move away the one that is not wanted"):
            await migrate_store(home, postgres_url, is_final=is_final)


async def test_a_difference_is_noticed(
    home: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a value arrives as another one, the file stays as it is."""
    upsert = store_copy._upsert
    monkeypatch.setattr(
        store_copy,
        "_upsert",
        lambda *arguments: upsert(*arguments).replace("excluded.model,", "'x/y',"),
    )
    await migrate_store(home, postgres_url, is_final=False)
    await asyncio.to_thread(query, home, "UPDATE tasks SET model = 'a/b' WHERE number = 1")

    migration = await migrate_store(home, postgres_url, is_final=True)

    assert not migration.is_verified
    assert [one.table.name for one in migration.tables if not one.is_same] == ["tasks"]
    assert migration.kept_as is None
    assert await is_there(home)
    assert operation.MIGRATED == ".migrated"
