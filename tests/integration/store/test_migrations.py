"""Files of older versions are migrated, or left exactly as they were."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import StoreOpenError, StoreVersionError
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.sqlite import migrations
from tests.integration.worker.worker_harness import SCHEMA, task_params
from tests.patience import patient

VERSION_1 = Path(__file__).with_name("version_1.sql").read_text(encoding="utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of version 1 with a task in every state."""
    file = tmp_path / "tasks.db"
    run_sql(file, VERSION_1)
    return file


def run_sql(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(sql)


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def columns(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """The columns of each table: name, type, not null, default, key."""
    names = [str(row[0]) for row in query(path, "SELECT name FROM sqlite_master WHERE sql > ''")]
    return {name: {row[1:] for row in query(path, f"PRAGMA table_xinfo({name})")} for name in names}


def copy_of(path: Path) -> Path:
    return path.with_name("tasks.db.v1.bak")


def files_in_folder(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_an_older_file_keeps_every_task(path: Path) -> None:
    """After a migration every task of version 1 is unchanged, with its history."""
    before = query(path, "SELECT id, status, prediction_id, result_data FROM tasks ORDER BY id")
    history = query(path, "SELECT task_id, seq, event, data FROM events ORDER BY task_id, seq")

    async with await open_task_store(path, SCHEMA) as store:
        tasks = await store.list()

    assert len(tasks) == 6
    assert {task.status for task in tasks} == set(TaskStatus)
    assert {(task.cycle, task.retries, task.models_tried, task.files) for task in tasks} == {
        (1, 0, (), ())
    }
    after = query(path, "SELECT id, status, prediction_id, result_data FROM tasks ORDER BY id")
    assert after == before
    events = query(path, "SELECT task_id, seq, event, data FROM events ORDER BY task_id, seq")
    assert events == history


async def test_a_migrated_file_has_the_schema_of_a_new_one(path: Path, tmp_path: Path) -> None:
    """Columns and defaults are those of schema.sql, and the file is undamaged."""
    run_sql(tmp_path / "new.db", SCHEMA)

    async with await open_task_store(path, SCHEMA):
        pass

    assert columns(path) == columns(tmp_path / "new.db")
    assert query(path, "PRAGMA user_version") == [(7,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA foreign_key_check") == []


async def test_a_migrated_store_works(path: Path) -> None:
    """New tasks get the next numbers, and old tasks keep their predictions."""
    async with await open_task_store(path, SCHEMA) as store:
        added = await store.add(task_params())
        (running,) = await store.list(statuses={TaskStatus.RUNNING})
        found = await store.by_prediction("p-3")

    assert added.number == 7
    assert found == running
    assert query(path, "SELECT id FROM predictions ORDER BY id") == [("p-1",), ("p-2",), ("p-3",)]


async def test_a_copy_of_the_older_file_is_kept(path: Path) -> None:
    """The copy is a complete database of version 1, readable only by its owner."""
    tasks = query(path, "SELECT * FROM tasks ORDER BY number")

    async with await open_task_store(path, SCHEMA):
        pass

    copy = copy_of(path)
    assert query(copy, "PRAGMA user_version") == [(1,)]
    assert query(copy, "PRAGMA integrity_check") == [("ok",)]
    assert query(copy, "SELECT * FROM tasks ORDER BY number") == tasks
    assert mode_of(copy) == 0o600
    assert files_in_folder(path) == {"tasks.db", "tasks.db.lock", "tasks.db.v1.bak"}


async def test_a_file_is_migrated_once(path: Path) -> None:
    """A second start does not migrate or copy again."""
    async with await open_task_store(path, SCHEMA):
        pass
    copied_at_ns = copy_of(path).stat().st_mtime_ns

    async with await open_task_store(path, SCHEMA):
        pass

    assert copy_of(path).stat().st_mtime_ns == copied_at_ns


async def test_a_step_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error in a step the file is still version 1, and the next start succeeds."""
    before = columns(path)
    with monkeypatch.context() as patch:
        broken = {**migrations.STEPS, 1: migrations.STEPS[1] + "\nSELECT nonsense();"}
        patch.setattr(migrations, "STEPS", broken)
        with pytest.raises(
            StoreOpenError, match=r"migrated from schema version 1 to 7 .*nonsense.* unchanged"
        ):
            await open_task_store(path, SCHEMA)

    assert columns(path) == before
    assert query(path, "PRAGMA user_version") == [(1,)]
    async with await open_task_store(path, SCHEMA) as store:
        assert len(await store.list()) == 6


OPEN_AND_KILL = """
import asyncio, os, signal, sqlite3, sys
from pathlib import Path
from phoenix_compat.tasks.store.sqlite import migrations
from phoenix_compat.tasks.store.opening import open_task_store

class KillingConnection(sqlite3.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.create_function("kill", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))

connect = sqlite3.connect
sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=KillingConnection, **kwargs)
steps = migrations.STEPS[1].split(";")
steps.insert(int(sys.argv[2]), "SELECT kill()")
migrations.STEPS = {**migrations.STEPS, 1: ";".join(steps)}
asyncio.run(open_task_store(Path(sys.argv[1]), Path("schema.sql").read_text()))
"""


@pytest.mark.parametrize("steps", [1, 8, len(migrations.STEPS[1].split(";")) - 1])
async def test_a_kill_in_the_middle_leaves_the_older_file(path: Path, steps: int) -> None:
    """After a kill between two steps the file is version 1, and the next start migrates it."""
    before = columns(path)
    root = Path(__file__).parents[3]

    killed = subprocess.run(  # noqa: ASYNC221, S603 - our own text, and nothing else runs meanwhile
        [sys.executable, "-c", OPEN_AND_KILL, str(path), str(steps)],
        cwd=root,
        check=False,
        timeout=patient(30),
    )

    assert killed.returncode == -9
    assert columns(path) == before
    assert query(path, "PRAGMA user_version") == [(1,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    async with await open_task_store(path, SCHEMA) as store:
        assert len(await store.list()) == 6


async def test_without_a_copy_nothing_is_migrated(path: Path) -> None:
    """If the copy cannot be written, here because of a folder, the file is not changed."""
    copy_of(path).mkdir()

    with pytest.raises(StoreOpenError, match="unchanged"):
        await open_task_store(path, SCHEMA)

    assert query(path, "PRAGMA user_version") == [(1,)]
    assert "tasks.db.v1.bak.part" not in files_in_folder(path)


async def test_a_newer_file_is_refused(path: Path) -> None:
    """A file of a newer version is not changed, and the error names both versions."""
    run_sql(path, "PRAGMA user_version = 8")

    with pytest.raises(StoreVersionError, match="version 8, newer than the 7 this program knows"):
        await open_task_store(path, SCHEMA)

    assert not copy_of(path).exists()


async def test_another_database_with_version_1_is_refused(tmp_path: Path) -> None:
    """A database with version 1 but without our tables is not migrated."""
    path = tmp_path / "recipes.db"
    run_sql(path, "CREATE TABLE recipes (name TEXT); PRAGMA user_version = 1;")

    with pytest.raises(StoreVersionError, match="not a task database"):
        await open_task_store(path, SCHEMA)
