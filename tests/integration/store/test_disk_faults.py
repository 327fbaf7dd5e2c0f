"""The store on a full or read-only disk, with a locked file, and with a file that disappears."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import StoreGoneError, StoreOpenError, StoreUnavailableError
from phoenix_compat.tasks.model.task import TaskId, TaskStatus
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.api.api_harness import MONK, open_api, problem
from tests.integration.store.sqlite_connection import on_connection
from tests.integration.worker.worker_harness import SCHEMA, task_params
from tests.patience import patient


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 512 KiB; the test is skipped where it cannot be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder))
    if mounted is not None:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted}")
    yield folder
    run("umount", "-l", str(folder))


def mount(*arguments: str) -> str | None:
    """Mount; returns why it failed, or None."""
    if os.geteuid() != 0:
        return "this user is not root"
    return run("mount", *arguments)


def run(name: str, *arguments: str) -> str | None:
    """Run a system command; returns its error output, or None when it succeeded."""
    path = shutil.which(name)
    if path is None:
        return f"there is no {name}"
    done = subprocess.run(  # noqa: S603 - our own arguments
        [path, *arguments], check=False, capture_output=True, text=True, timeout=patient(10)
    )
    return None if done.returncode == 0 else done.stderr.strip()


async def fill(store: TaskStore, chars: int) -> set[TaskId]:
    """Add tasks, ten at a time, until the disk is full; returns the acknowledged ids."""
    added: set[TaskId] = set()
    while True:
        writes = (store.add(task_params(prompt="x" * chars)) for _ in range(10))
        results = await asyncio.gather(*writes, return_exceptions=True)
        added |= {result.id for result in results if not isinstance(result, BaseException)}
        errors = [result for result in results if isinstance(result, BaseException)]
        assert {type(error) for error in errors} <= {StoreUnavailableError}
        if errors:
            assert "full" in str(errors[0]), errors
            return added


def assert_undamaged(path: Path) -> None:
    """Assert that the file is undamaged and that each task has events."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        without = "SELECT count(*) FROM tasks WHERE id NOT IN (SELECT task_id FROM events)"
        assert connection.execute(without).fetchone() == (0,)


async def test_a_full_disk_keeps_what_was_acknowledged(small_disk: Path) -> None:
    """On a full disk new tasks are refused and old ones are readable; later writes work again."""
    path = small_disk / "tasks.db"
    ballast = small_disk / "ballast"
    await asyncio.to_thread(ballast.write_bytes, b"x" * 150_000)
    async with await open_task_store(path, SCHEMA) as store:
        added = await fill(store, 2_000)

        listed = {task.id for task in await store.list(limit=1_000)}
        await asyncio.to_thread(ballast.unlink)
        later = await store.add(task_params())
        first = await store.get(min(added))

    assert added
    assert listed == added
    assert first is not None
    assert later.id not in added
    assert_undamaged(path)


async def test_a_full_disk_refuses_a_whole_move(small_disk: Path) -> None:
    """If a result does not fit, the task stays running; later it can be completed."""
    path = small_disk / "tasks.db"
    ballast = small_disk / "ballast"
    await asyncio.to_thread(ballast.write_bytes, b"x" * 150_000)
    async with await open_task_store(path, SCHEMA) as store:
        submitting = await store.move(await store.add(task_params()), TaskStatus.SUBMITTING)
        assert submitting is not None
        running = await store.move(submitting, TaskStatus.RUNNING, prediction_id="p-1")
        assert running is not None
        await fill(store, 9_000)
        result = {"text": "x" * 100_000}

        with pytest.raises(StoreUnavailableError, match="full"):
            await store.move(running, TaskStatus.COMPLETED, result_data=result)

        assert await store.get(running.id) == running
        assert len(await store.events(running.id)) == 3
        await asyncio.to_thread(ballast.unlink)
        done = await store.move(running, TaskStatus.COMPLETED, result_data={})

    assert done is not None
    assert_undamaged(path)


async def test_a_disk_without_space_is_an_error_at_start(small_disk: Path) -> None:
    """If the file cannot be created, open raises an error with the reason."""
    await asyncio.to_thread((small_disk / "ballast").write_bytes, b"x" * 510_000)

    with pytest.raises(StoreOpenError, match=r"full|disk"):
        await open_task_store(small_disk / "tasks.db", SCHEMA)


async def test_a_read_only_disk_is_an_error_at_start(small_disk: Path) -> None:
    """Opening on a read-only disk is an error, and the file is not changed."""
    path = small_disk / "tasks.db"
    async with await open_task_store(path, SCHEMA) as store:
        await store.add(task_params())
    assert mount("-o", "remount,ro", str(small_disk)) is None

    with pytest.raises(StoreOpenError, match="choose a folder that this user may write to"):
        await open_task_store(path, SCHEMA)

    assert mount("-o", "remount,rw", str(small_disk)) is None
    assert_undamaged(path)


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    """Another process holds a write transaction on the file."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(  # noqa: S603 - our own text
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield
        process.communicate()


async def test_another_process_s_lock_is_a_503(tmp_path: Path) -> None:
    """While another process has the lock, a POST gets a 503 and nothing is stored."""
    path = tmp_path / "tasks.db"
    async with open_api(path) as (client, harness):
        kept = await harness.add()
        with locked_by_another_process(path):
            refused = await client.post("/api/tasks", json=MONK)
            shown = await client.get(f"/api/tasks/{kept.id}")
        accepted = await client.post("/api/tasks", json=MONK)

        document = await problem(refused, 503)
        assert document["type"].endswith(":store-unavailable")
        assert refused.headers["Retry-After"] == "2"
        assert (shown.status, accepted.status) == (200, 202)
        assert len(await harness.store.list()) == 2
    assert_undamaged(path)


async def test_a_removed_file_is_noticed(tmp_path: Path) -> None:
    """Writes to a removed file are refused; after it is put back the store works again."""
    path, moved = tmp_path / "tasks.db", tmp_path / "moved.db"
    async with await open_task_store(path, SCHEMA) as store:
        kept = await store.add(task_params())
        path.rename(moved)

        with pytest.raises(StoreGoneError, match="removed or replaced"):
            await store.add(task_params())

        moved.rename(path)
        later = await store.add(task_params())
        assert [task.id for task in await store.list()] == [later.id, kept.id]
    assert_undamaged(path)


async def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    """Writes are refused when another file has replaced the open one."""
    path, other = tmp_path / "tasks.db", tmp_path / "other.db"
    async with await open_task_store(other, SCHEMA):
        pass
    store = await open_task_store(path, SCHEMA)
    other.replace(path)

    with pytest.raises(StoreGoneError):
        await store.add(task_params())

    await store.close()
    assert_undamaged(path)


async def test_a_file_removed_during_a_commit_is_noticed(tmp_path: Path) -> None:
    """A write that was committed to a deleted file is not acknowledged."""
    path = tmp_path / "tasks.db"
    store = await open_task_store(path, SCHEMA)

    with pytest.raises(StoreGoneError):
        await store._database.write(on_connection(lambda _connection: path.unlink()))

    await store.close()


async def test_a_missing_file_is_a_503(tmp_path: Path) -> None:
    """Clients get a 503 without any path of this machine."""
    path = tmp_path / "tasks.db"
    async with open_api(path) as (client, _workshop):
        path.unlink()

        document = await problem(await client.post("/api/tasks", json=MONK), 503)

    assert str(tmp_path) not in str(document)
