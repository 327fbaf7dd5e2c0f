"""Writes that share a commit: each is durable when it is answered, and fails only for itself."""

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

from phoenix_compat.tasks.model.errors import StoreError, StoreUnavailableError
from phoenix_compat.tasks.store.sqlite import writer as writer_module
from phoenix_compat.tasks.store.sqlite.database import Database
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.worker_harness import SCHEMA, order


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "tasks.db"
    async with await Database.open(path, SCHEMA, busy_timeout_s=0.05, max_batch=8) as opened:
        await opened.write(lambda connection: connection.execute("CREATE TABLE log (n UNIQUE)"))
        yield opened


async def put(database: Database, number: int) -> None:
    """One small write."""
    await database.write(
        lambda connection: connection.execute("INSERT INTO log VALUES (?)", (number,))
    )


async def numbers(database: Database) -> list[int]:
    return [row[0] for row in await database.read("SELECT n FROM log ORDER BY n")]


class Held:
    """Keeps the writer's thread inside a transaction until it is released."""

    def __init__(self, database: Database) -> None:
        self._go = threading.Event()
        self._begun = threading.Event()
        self._write = asyncio.create_task(database.write(self._hold))

    async def begun(self) -> None:
        """Wait until the transaction has begun."""
        assert await asyncio.to_thread(self._begun.wait, 5.0)

    async def release(self) -> None:
        """Let it commit, and wait until it has."""
        self._go.set()
        await self._write

    def _hold(self, _connection: sqlite3.Connection) -> None:
        self._begun.set()
        assert self._go.wait(5.0)


async def test_what_waits_together_commits_together(database: Database) -> None:
    """Writes that arrive during a commit share the next ones, up to the bound of a batch."""
    held = Held(database)
    await held.begun()
    before = database.write_counts.batches

    writes = [asyncio.create_task(put(database, number)) for number in range(20)]
    await asyncio.sleep(0)
    waiting = database.waiting_writes
    await held.release()
    await asyncio.gather(*writes)

    assert waiting == 20
    assert database.write_counts.batches == before + 3
    assert database.write_counts.largest == 8
    assert await numbers(database) == list(range(20))


async def test_nobody_is_answered_before_the_commit(database: Database, tmp_path: Path) -> None:
    """When a write returns, another process can read it; while it is open, nobody can."""
    seen: list[int] = []

    def count() -> int:
        with closing(sqlite3.connect(tmp_path / "tasks.db")) as other:
            return int(other.execute("SELECT count(*) FROM log").fetchone()[0])

    def write_and_look(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO log VALUES (1)")
        seen.append(count())

    await database.write(write_and_look)

    assert seen == [0]
    assert await asyncio.to_thread(count) == 1


async def test_one_error_fails_one_write(database: Database) -> None:
    """A broken constraint and a bug in the middle of a batch undo themselves and nothing else."""
    held = Held(database)
    await held.begun()

    def buggy(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO log VALUES (99)")
        raise LookupError("a bug")

    writes = asyncio.gather(
        put(database, 1),
        put(database, 1),
        database.write(buggy),
        put(database, 2),
        return_exceptions=True,
    )
    await asyncio.sleep(0)
    await held.release()
    answers = await writes

    assert answers[0] is answers[3] is None
    assert isinstance(answers[1], StoreError)
    assert isinstance(answers[2], LookupError)
    assert await numbers(database) == [1, 2]


async def test_a_lost_transaction_is_repeated_one_by_one(database: Database) -> None:
    """When SQLite rolls a whole batch back, only the write that was too much is refused."""
    (pages,) = await database.write(
        lambda connection: tuple(connection.execute("PRAGMA page_count").fetchone())
    )
    await database.write(lambda connection: connection.execute("PRAGMA cache_size = 2").fetchall())
    await database.write(
        lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    )

    def too_much(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO log VALUES (zeroblob(400000))")

    answers = await asyncio.gather(
        put(database, 1), database.write(too_much), put(database, 2), return_exceptions=True
    )

    assert answers[0] is answers[2] is None
    assert isinstance(answers[1], StoreUnavailableError)
    assert "full" in str(answers[1])
    assert await numbers(database) == [1, 2]


async def test_a_batch_that_cannot_begin_is_refused_whole(
    database: Database, tmp_path: Path
) -> None:
    """While another process holds the lock every write of the batch hears so; then all is well."""
    with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = await asyncio.gather(
            *(put(database, number) for number in range(3)), return_exceptions=True
        )
        other.execute("ROLLBACK")

    assert [type(answer) for answer in answers] == [StoreUnavailableError] * 3
    await put(database, 7)
    assert await numbers(database) == [7]


async def test_the_queue_of_writes_has_an_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More writes than may wait are refused at once, and counted."""
    monkeypatch.setattr(writer_module, "MAX_WAITING_WRITES", 2)
    held = Held(database)
    await held.begun()
    writes = [asyncio.create_task(put(database, number)) for number in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailableError, match="wait for the disk already"):
        await put(database, 3)

    await held.release()
    await asyncio.gather(*writes)
    assert database.write_counts.refused == 1
    assert await numbers(database) == [0, 1]


async def test_closing_carries_out_what_was_accepted(tmp_path: Path) -> None:
    """Writes that wait when the store closes are in the file; later ones are refused."""
    path = tmp_path / "tasks.db"
    store = await TaskStore.open(path, SCHEMA)
    writes = [asyncio.create_task(store.add(order())) for _ in range(20)]
    await asyncio.sleep(0)

    await store.close()

    assert len(await asyncio.gather(*writes)) == 20
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (20,)
    with pytest.raises(StoreUnavailableError, match="closing"):
        await store.add(order())


ADDING = """
import asyncio, sys
from pathlib import Path
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.worker_harness import SCHEMA, order

async def call(store):
    while True:
        task = await store.add(order())
        print(task.id, flush=True)

async def main():
    store = await TaskStore.open(Path(sys.argv[1]), SCHEMA)
    await asyncio.gather(*(call(store) for _ in range(20)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 100, 500])
async def test_a_kill_loses_nothing_that_was_acknowledged(
    tmp_path: Path, acknowledged: int
) -> None:
    """Every id that 20 callers were told before kill -9 is in the file, whole and sound."""
    path = tmp_path / "tasks.db"
    told = await asyncio.to_thread(told_before_kill, path, acknowledged)

    async with await TaskStore.open(path, SCHEMA) as store:
        kept = {task.id: task for task in await store.list(limit=100_000)}
        histories = [await store.events(task_id) for task_id in kept]

    assert len(told) >= acknowledged
    assert told <= set(kept)
    assert {len(history) for history in histories} == {1}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def told_before_kill(path: Path, count: int) -> set[str]:
    """Run a process that adds tasks, kill it after so many ids, and return all that it told."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", ADDING, str(path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as adding:  # noqa: S603 - our own text
        assert adding.stdout is not None
        lines = [adding.stdout.readline() for _ in range(count)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(adding.pid, signal.SIGKILL)
        lines += adding.stdout.readlines()
    return {line.strip() for line in lines if line.endswith("\n")}
