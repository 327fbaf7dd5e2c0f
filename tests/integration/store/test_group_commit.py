"""Group commit: each write is durable when it returns, and its error affects no other write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import StoreUnavailableError, UniqueError
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.sqlite import writer as writer_module
from phoenix_compat.tasks.store.sqlite.database import SQLiteDatabase
from tests.integration.worker.worker_harness import SCHEMA, task_params


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SQLiteDatabase]:
    path = tmp_path / "tasks.db"
    async with await SQLiteDatabase.open(path, SCHEMA, busy_timeout_s=0.05, max_batch=8) as opened:
        await opened.write(lambda transaction: transaction.execute("CREATE TABLE log (n UNIQUE)"))
        yield opened


async def put(database: SQLiteDatabase, number: int) -> None:
    """One small write."""
    await database.write(
        lambda transaction: transaction.execute("INSERT INTO log VALUES (?)", (number,))
    )


async def numbers(database: SQLiteDatabase) -> list[int]:
    return [row[0] for row in await database.read("SELECT n FROM log ORDER BY n")]


class BlockedWriter:
    """Blocks the writer's thread inside a transaction until it is released."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self._released = threading.Event()
        self._begun = threading.Event()
        self._write = asyncio.create_task(database.write(self._block))

    async def begun(self) -> None:
        """Wait until the transaction has begun."""
        assert await asyncio.to_thread(self._begun.wait, 5.0)

    async def release(self) -> None:
        """Let the transaction commit, and wait until it has."""
        self._released.set()
        await self._write

    async def _block(self, _transaction: Transaction) -> None:
        self._begun.set()
        assert self._released.wait(5.0)


async def test_waiting_writes_share_commits(database: SQLiteDatabase) -> None:
    """Writes that arrive during a commit share the next ones, up to the size of a batch."""
    blocked = BlockedWriter(database)
    await blocked.begun()
    before = database.write_counts.batches

    writes = [asyncio.create_task(put(database, number)) for number in range(20)]
    await asyncio.sleep(0)
    waiting = database.waiting_writes
    await blocked.release()
    await asyncio.gather(*writes)

    assert waiting == 20
    assert database.write_counts.batches == before + 3
    assert database.write_counts.largest == 8
    assert await numbers(database) == list(range(20))


async def test_a_write_returns_after_its_commit(database: SQLiteDatabase, tmp_path: Path) -> None:
    """Another connection sees a write when it returns, and not while it is running."""
    seen: list[int] = []

    def count() -> int:
        with closing(sqlite3.connect(tmp_path / "tasks.db")) as other:
            return int(other.execute("SELECT count(*) FROM log").fetchone()[0])

    async def write_and_count(transaction: Transaction) -> None:
        await transaction.execute("INSERT INTO log VALUES (1)")
        seen.append(count())

    await database.write(write_and_count)

    assert seen == [0]
    assert await asyncio.to_thread(count) == 1


async def test_a_write_that_waits_is_a_bug(database: SQLiteDatabase) -> None:
    """A work that awaits anything but its transaction gets an error; nothing of it is written."""

    async def waiting(transaction: Transaction) -> None:
        await transaction.execute("INSERT INTO log VALUES (99)")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="may await nothing but"):
        await database.write(waiting)

    assert await numbers(database) == []


async def test_an_error_fails_only_its_write(database: SQLiteDatabase) -> None:
    """A violated constraint and a bug roll back their own writes, not others of the batch."""
    blocked = BlockedWriter(database)
    await blocked.begun()

    async def buggy(transaction: Transaction) -> None:
        await transaction.execute("INSERT INTO log VALUES (99)")
        raise LookupError("a bug")

    writes = asyncio.gather(
        put(database, 1),
        put(database, 1),
        database.write(buggy),
        put(database, 2),
        return_exceptions=True,
    )
    await asyncio.sleep(0)
    await blocked.release()
    answers = await writes

    assert answers[0] is answers[3] is None
    assert isinstance(answers[1], UniqueError)
    assert isinstance(answers[2], LookupError)
    assert await numbers(database) == [1, 2]


async def test_a_rolled_back_batch_is_repeated_one_by_one(database: SQLiteDatabase) -> None:
    """When SQLite rolls back a whole batch, only the write that does not fit is refused."""
    ((pages,),) = await database.write(lambda transaction: transaction.rows("PRAGMA page_count"))
    await database.write(lambda transaction: transaction.rows("PRAGMA cache_size = 2"))
    await database.write(lambda transaction: transaction.rows(f"PRAGMA max_page_count = {pages}"))

    async def write_too_much(transaction: Transaction) -> None:
        await transaction.execute("INSERT INTO log VALUES (zeroblob(400000))")

    answers = await asyncio.gather(
        put(database, 1), database.write(write_too_much), put(database, 2), return_exceptions=True
    )

    assert answers[0] is answers[2] is None
    assert isinstance(answers[1], StoreUnavailableError)
    assert "full" in str(answers[1])
    assert await numbers(database) == [1, 2]


async def test_a_batch_that_cannot_begin_is_refused(
    database: SQLiteDatabase, tmp_path: Path
) -> None:
    """While the database is locked every write of the batch fails; later writes work."""
    with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = await asyncio.gather(
            *(put(database, number) for number in range(3)), return_exceptions=True
        )
        other.execute("ROLLBACK")

    assert [type(answer) for answer in answers] == [StoreUnavailableError] * 3
    await put(database, 7)
    assert await numbers(database) == [7]


async def test_the_queue_of_writes_is_limited(
    database: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes beyond the limit are refused at once and counted."""
    monkeypatch.setattr(writer_module, "MAX_WAITING_WRITES", 2)
    blocked = BlockedWriter(database)
    await blocked.begun()
    writes = [asyncio.create_task(put(database, number)) for number in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailableError, match="waiting for the disk already"):
        await put(database, 3)

    await blocked.release()
    await asyncio.gather(*writes)
    assert database.write_counts.refused == 1
    assert await numbers(database) == [0, 1]


async def test_close_carries_out_accepted_writes(tmp_path: Path) -> None:
    """Writes that wait when the store closes are carried out; later ones are refused."""
    path = tmp_path / "tasks.db"
    store = await open_task_store(path, SCHEMA)
    writes = [asyncio.create_task(store.add(task_params())) for _ in range(20)]
    await asyncio.sleep(0)

    await store.close()

    assert len(await asyncio.gather(*writes)) == 20
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (20,)
    with pytest.raises(StoreUnavailableError, match="closing"):
        await store.add(task_params())


ADD_TASKS = """
import asyncio, sys
from pathlib import Path
from phoenix_compat.tasks.store.opening import open_task_store
from tests.integration.worker.worker_harness import SCHEMA, task_params

async def call(store):
    while True:
        task = await store.add(task_params())
        print(task.id, flush=True)

async def main():
    store = await open_task_store(Path(sys.argv[1]), SCHEMA)
    await asyncio.gather(*(call(store) for _ in range(20)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 100, 500])
async def test_a_kill_loses_no_acknowledged_task(tmp_path: Path, acknowledged: int) -> None:
    """Every task that was acknowledged before a kill -9 is in the undamaged file."""
    path = tmp_path / "tasks.db"
    acknowledged_ids = await asyncio.to_thread(ids_acknowledged_before_kill, path, acknowledged)

    async with await open_task_store(path, SCHEMA) as store:
        stored = {task.id: task for task in await store.list(limit=100_000)}
        histories = [await store.events(task_id) for task_id in stored]

    assert len(acknowledged_ids) >= acknowledged
    assert acknowledged_ids <= set(stored)
    assert {len(history) for history in histories} == {1}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def ids_acknowledged_before_kill(path: Path, count: int) -> set[str]:
    """Run a process that adds tasks, kill it after `count` ids, and return all ids it printed."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", ADD_TASKS, str(path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own text
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(count)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
    return {line.strip() for line in lines if line.endswith("\n")}
