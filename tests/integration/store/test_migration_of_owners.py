"""A file of version 2 gets owners: its tasks and keys belong to nobody in particular."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.statements import list_queries, queries
from phoenix_compat.tasks.store.statements.scoped import Scoped
from phoenix_compat.tasks.store.task_store import IdempotencyKey
from tests.integration.worker.worker_harness import SCHEMA, task_params

VERSION_2 = Path(__file__).with_name("version_2.sql").read_text(encoding="utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of version 2 with a task in every state, and a queued one with a key."""
    file = tmp_path / "tasks.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(VERSION_2)
    return file


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def shape(path: Path) -> dict[str, object]:
    """The columns of tables and indexes."""
    names = query(path, "SELECT type, name FROM sqlite_master WHERE sql > ''")
    return {
        f"{kind} {name}": {
            row[1:] if kind == "table" else (row[0], *row[2:])
            for row in query(path, f"PRAGMA {kind}_xinfo({name})")
        }
        for kind, name in names
    }


async def test_every_row_is_kept_and_belongs_to_nobody(path: Path) -> None:
    """Tasks, events, predictions and keys are the same; owners are empty, reserved is nothing."""
    tables = {
        "tasks": "number, id, status, input, prediction_id, result_data, error_data",
        "events": "task_id, seq, event, data, at",
        "predictions": "id, task_id",
        "idempotency_keys": "key, body_fingerprint, task_id, created_at",
    }
    selects = [f"SELECT {names} FROM {table} ORDER BY 1, 2" for table, names in tables.items()]  # noqa: S608 - our own text
    before = [query(path, sql) for sql in selects]

    async with await open_task_store(path, SCHEMA) as store:
        tasks = await store.list(owner="")

    assert [query(path, sql) for sql in selects] == before
    assert len(tasks) == 7
    assert {task.status for task in tasks} == set(TaskStatus)
    assert {(task.owner, task.unreadable) for task in tasks} == {("", ())}
    assert query(path, "SELECT DISTINCT reserved_microdollars, reserved_on FROM tasks") == [
        (0, None)
    ]
    assert query(path, "SELECT DISTINCT owner FROM idempotency_keys") == [("",)]


async def test_the_file_has_the_schema_of_a_new_one(path: Path, tmp_path: Path) -> None:
    """Columns and indexes are those of schema.sql, and the file is undamaged."""
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        connection.executescript(SCHEMA)

    async with await open_task_store(path, SCHEMA):
        pass

    assert shape(path) == shape(tmp_path / "new.db")
    assert query(path, "PRAGMA user_version") == [(7,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA foreign_key_check") == []


async def test_old_tasks_can_be_adopted(path: Path) -> None:
    """After that they and their keys are the owner's, and nobody else's."""
    # The key in the sample is older than a day; the owner repeats a request of today.
    key = IdempotencyKey("today", "f" * 64)
    async with await open_task_store(path, SCHEMA) as store:
        first, _ = await store.add_once(task_params(), key)

        adopted = await store.adopt("ada")

        assert adopted == 8
        assert len(await store.list(owner="ada")) == 8
        assert await store.list(owner="") == []
        assert await store.add_once(task_params(), key, owner="ada") == (
            await store.get(first.id),
            True,
        )


@pytest.mark.parametrize(
    "statement",
    [
        queries.GET_TASK,
        queries.GET_SUMMARY,
        queries.LIST_EVENTS,
        queries.REQUEST_CANCEL,
        list_queries.PAGE_OF_TASKS,
        list_queries.PAGE_WITH_STATUS,
    ],
)
async def test_an_owners_tasks_are_found_by_indexes(path: Path, statement: Scoped) -> None:
    """Also in a migrated file no statement searches all rows of a table."""
    async with await open_task_store(path, SCHEMA):
        pass
    params = {"id": "x", "owner": "ada", "before": 9, "limit": 9, "max_bytes": 9, "after": 0}

    with closing(sqlite3.connect(path)) as connection:
        for sql in statement:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", params | {"statuses": "[]"})
            scans = [row[3] for row in plan if row[3].startswith("SCAN")]
            assert set(scans) <= {"SCAN page", "SCAN wanted VIRTUAL TABLE INDEX 1:"}
