"""The store when the disk fails it: full, read-only, locked, taken away. No task is half there."""

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
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.api.api_harness import MONK, open_api, problem
from tests.integration.worker.worker_harness import SCHEMA, order


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB; skipped by name where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder))
    if mounted is not None:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted}")
    yield folder
    run("umount", "-l", str(folder))


def mount(*arguments: str) -> str | None:
    """Mount; why not, when it was refused."""
    if os.geteuid() != 0:
        return "this user is not root"
    return run("mount", *arguments)


def run(name: str, *arguments: str) -> str | None:
    """Run a command of the system; what it complained of, None when it succeeded."""
    path = shutil.which(name)
    if path is None:
        return f"there is no {name}"
    done = subprocess.run(  # noqa: S603 - our own arguments
        [path, *arguments], check=False, capture_output=True, text=True, timeout=10
    )
    return None if done.returncode == 0 else done.stderr.strip()


async def fill(store: TaskStore, chars: int) -> set[TaskId]:
    """Add tasks, ten at a time, until the disk refuses; the ids that were acknowledged."""
    added: set[TaskId] = set()
    while True:
        orders = (store.add(order(prompt="x" * chars)) for _ in range(10))
        answers = await asyncio.gather(*orders, return_exceptions=True)
        added |= {answer.id for answer in answers if not isinstance(answer, BaseException)}
        refusals = [answer for answer in answers if isinstance(answer, BaseException)]
        assert {type(refusal) for refusal in refusals} <= {StoreUnavailableError}
        if refusals:
            assert "full" in str(refusals[0]), refusals
            return added


def check_sound(path: Path) -> None:
    """The file is whole, and each task has the first line of its history."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        without = "SELECT count(*) FROM tasks WHERE id NOT IN (SELECT task_id FROM events)"
        assert connection.execute(without).fetchone() == (0,)


async def test_a_full_disk_keeps_what_was_acknowledged(small_disk: Path) -> None:
    """On a full disk new tasks are refused, old ones are read; with room again all goes on."""
    path = small_disk / "tasks.db"
    ballast = small_disk / "ballast"
    await asyncio.to_thread(ballast.write_bytes, b"x" * 150_000)
    async with await TaskStore.open(path, SCHEMA) as store:
        added = await fill(store, 2_000)

        listed = {task.id for task in await store.list(limit=1_000)}
        await asyncio.to_thread(ballast.unlink)
        later = await store.add(order())
        first = await store.get(min(added))

    assert added
    assert listed == added
    assert first is not None
    assert later.id not in added
    check_sound(path)


async def test_a_full_disk_refuses_a_move_whole(small_disk: Path) -> None:
    """A result that has no room leaves the task running; when there is room it is completed."""
    path = small_disk / "tasks.db"
    ballast = small_disk / "ballast"
    await asyncio.to_thread(ballast.write_bytes, b"x" * 150_000)
    async with await TaskStore.open(path, SCHEMA) as store:
        submitting = await store.move(await store.add(order()), TaskStatus.SUBMITTING)
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
    check_sound(path)


async def test_a_disk_without_room_for_a_store_is_an_error_at_start(small_disk: Path) -> None:
    """A file that cannot be made is refused with the reason, before anything is promised."""
    await asyncio.to_thread((small_disk / "ballast").write_bytes, b"x" * 510_000)

    with pytest.raises(StoreOpenError, match=r"full|disk"):
        await TaskStore.open(small_disk / "tasks.db", SCHEMA)


async def test_a_read_only_disk_is_an_error_at_start(small_disk: Path) -> None:
    """A folder that nobody may write is named, and what is in it is left alone."""
    path = small_disk / "tasks.db"
    async with await TaskStore.open(path, SCHEMA) as store:
        await store.add(order())
    assert mount("-o", "remount,ro", str(small_disk)) is None

    with pytest.raises(StoreOpenError, match="choose a folder this user may write"):
        await TaskStore.open(path, SCHEMA)

    assert mount("-o", "remount,rw", str(small_disk)) is None
    check_sound(path)


@contextmanager
def another_process_holds(path: Path) -> Iterator[None]:
    """A second program that has begun to write and takes its time."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(  # noqa: S603 - our own text
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate()


async def test_another_process_s_lock_is_a_503(tmp_path: Path) -> None:
    """While another program writes, a POST is told to come back; nothing of it is there."""
    path = tmp_path / "tasks.db"
    async with open_api(path) as (client, workshop):
        kept = await workshop.add()
        with another_process_holds(path):
            refused = await client.post("/api/tasks", json=MONK)
            shown = await client.get(f"/api/tasks/{kept.id}")
        accepted = await client.post("/api/tasks", json=MONK)

        document = await problem(refused, 503)
        assert document["type"].endswith(":store-unavailable")
        assert refused.headers["Retry-After"] == "2"
        assert (shown.status, accepted.status) == (200, 202)
        assert len(await workshop.store.list()) == 2
    check_sound(path)


async def test_a_file_that_was_taken_away_is_noticed(tmp_path: Path) -> None:
    """What would be written to a removed file is refused; put back, the store works again."""
    path, away = tmp_path / "tasks.db", tmp_path / "away.db"
    async with await TaskStore.open(path, SCHEMA) as store:
        kept = await store.add(order())
        path.rename(away)

        with pytest.raises(StoreGoneError, match="removed or replaced"):
            await store.add(order())

        away.rename(path)
        later = await store.add(order())
        assert [task.id for task in await store.list()] == [later.id, kept.id]
    check_sound(path)


async def test_a_file_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    """A restored backup under a running server is not the file it works on."""
    path, other = tmp_path / "tasks.db", tmp_path / "other.db"
    async with await TaskStore.open(other, SCHEMA):
        pass
    store = await TaskStore.open(path, SCHEMA)
    other.replace(path)

    with pytest.raises(StoreGoneError):
        await store.add(order())

    await store.close()
    check_sound(path)


async def test_a_file_taken_away_during_a_commit_is_noticed(tmp_path: Path) -> None:
    """A write that was committed to a file without a name is not acknowledged."""
    path = tmp_path / "tasks.db"
    store = await TaskStore.open(path, SCHEMA)

    with pytest.raises(StoreGoneError):
        await store._database.write(lambda _connection: path.unlink())

    await store.close()


async def test_a_missing_file_is_a_503(tmp_path: Path) -> None:
    """Clients hear that nothing was stored, and nothing of this machine's paths."""
    path = tmp_path / "tasks.db"
    async with open_api(path) as (client, _workshop):
        path.unlink()

        document = await problem(await client.post("/api/tasks", json=MONK), 503)

    assert str(tmp_path) not in str(document)
