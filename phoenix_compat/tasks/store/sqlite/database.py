"""An open SQLite file: one connection that writes and checkpoints, and one that only reads.

SQLite before 3.51.3 can corrupt a WAL when two connections write or checkpoint at the same time.
Therefore all writes go through one connection (see `writer`), and a lock file keeps other processes
out.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final, Self, TypeVar

import aiosqlite

from phoenix_compat.tasks.model.errors import StoreError, StoreOpenError, StoreUnavailableError
from phoenix_compat.tasks.store.database import Params, Transaction, Work, WriteCounts
from phoenix_compat.tasks.store.sqlite.database_file import (
    TOLERANT_TEXT,
    check_file,
    lock_file,
    store_error,
)
from phoenix_compat.tasks.store.sqlite.writer import MAX_BATCH, Writer

T = TypeVar("T")

_READER_PRAGMAS: Iterable[str] = ("PRAGMA query_only = ON", "PRAGMA wal_autocheckpoint = 0")

PROBE_INTERVAL_S: Final = 1.0
"""`health_error` checks the disk at most this often."""
PROBE_TIMEOUT_S: Final = 0.5
"""How long `health_error` waits for the check."""


class SQLiteDatabase:
    """An open database file; see `database.Database`. Made by `open`, ended by `close`.

    Attributes:
        is_shared: never: a lock file keeps other processes out.
    """

    is_shared: Final = False

    def __init__(self, writer: Writer, reader: aiosqlite.Connection, lock: IO[bytes]) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._is_closing = False
        self._read_error: StoreUnavailableError | None = None
        self._disk_error: StoreUnavailableError | None = None
        self._probe_task: asyncio.Task[None] | None = None
        self._probed_at_s = -PROBE_INTERVAL_S

    @classmethod
    async def open(
        cls,
        path: Path,
        schema_sql: str,
        *,
        busy_timeout_s: float = 5.0,
        max_batch: int = MAX_BATCH,
    ) -> Self:
        """Open the file. A new file gets the schema, and a file of an older version is migrated.

        Args:
            path: the database file; its folder is created if it is missing.
            schema_sql: all DDL; its last statement sets `user_version`.
            busy_timeout_s: how long a statement waits for another process's lock.
            max_batch: the most writes that share a commit.

        Raises:
            StoreOpenError: the text gives the reason; the file was not changed.
        """
        lock = await asyncio.to_thread(lock_file, path)
        try:
            await asyncio.to_thread(check_file, path, schema_sql, busy_timeout_s)
            writer = await Writer.open(path, busy_timeout_s=busy_timeout_s, max_batch=max_batch)
            try:
                reader = await _open_reader(path, busy_timeout_s)
            except BaseException:
                await writer.close()
                raise
        except BaseException as error:
            lock.close()
            if isinstance(error, StoreUnavailableError):
                raise StoreOpenError(path, str(error)) from error
            raise
        return cls(writer, reader, lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def write_counts(self) -> WriteCounts:
        """Counts of writes and commits."""
        return self._writer.counts

    @property
    def waiting_writes(self) -> int:
        """How many writes are waiting for a commit."""
        return self._writer.waiting

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction, which other writes may share; returns after the commit.

        Raises:
            StoreUnavailableError: locked, full, failing or closing; nothing was written.
            StoreError: a constraint was violated; nothing was written.
        """
        return await self._writer.write(work)

    async def read(self, sql: str, params: Params = ()) -> list[sqlite3.Row]:
        """All rows of a query, on the connection that cannot write.

        Raises:
            StoreUnavailableError: locked or failing.
        """
        try:
            rows = await self._reader.execute_fetchall(sql, params)
        except (sqlite3.Error, ValueError) as error:
            raised = store_error(error)
            if isinstance(raised, StoreUnavailableError):
                self._read_error = raised
            raise raised from error
        self._read_error = None
        return list(rows)

    async def health_error(self) -> StoreUnavailableError | None:
        """Why the database cannot be used at the moment; None when it seems to work.

        The answer is the error of the last write or read, if it failed, or why the disk cannot take
        one. At most every `PROBE_INTERVAL_S` a probe runs first: after a failure it writes and
        reads something small, otherwise it checks that the file is still there.
        """
        now_s = time.monotonic()
        is_probing = self._probe_task is not None and not self._probe_task.done()
        if not is_probing and now_s - self._probed_at_s >= PROBE_INTERVAL_S:
            self._probed_at_s = now_s
            self._probe_task = asyncio.create_task(self._probe(), name="store-probe")
        if self._probe_task is not None:
            await asyncio.wait({self._probe_task}, timeout=PROBE_TIMEOUT_S)
            if not self._probe_task.done():
                return self._last_error or StoreUnavailableError("the disk does not respond")
        return self._last_error

    @property
    def _last_error(self) -> StoreUnavailableError | None:
        return self._writer.last_error or self._read_error or self._disk_error

    async def _probe(self) -> None:
        try:
            await self._writer.check_disk()
            self._disk_error = None
        except StoreUnavailableError as error:
            self._disk_error = error
        try:
            if self._writer.last_error is None and self._read_error is None:
                await self._writer.check_file()
            else:
                await self._writer.write(_write_version)
                await self.read("SELECT 1")
        except StoreError:
            pass  # the writer or `read` has remembered it

    async def close(self) -> None:
        """Finish the accepted writes, checkpoint, and close the file. May be called twice."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._probe_task is not None:
            await asyncio.wait({self._probe_task})
        await self._writer.finish()
        await self._reader.close()
        await self._writer.close()
        self._lock.close()


async def _write_version(transaction: Transaction) -> None:
    """Write a page without changing any value."""
    ((version,),) = await transaction.rows("PRAGMA user_version")
    await transaction.execute(f"PRAGMA user_version = {int(version)}")


async def _open_reader(path: Path, busy_timeout_s: float) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None, timeout=busy_timeout_s)
    connection.row_factory = sqlite3.Row
    connection.text_factory = TOLERANT_TEXT
    try:
        for pragma in _READER_PRAGMAS:
            await connection.execute_fetchall(pragma)
    except sqlite3.Error as error:
        await connection.close()
        raise store_error(error) from error
    except BaseException:
        await connection.close()
        raise
    return connection
