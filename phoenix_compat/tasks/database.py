"""One SQLite file: a connection that writes and checkpoints, and one that only reads.

SQLite before 3.51.3 can corrupt a WAL that two connections write or checkpoint at once, so all
writes take their turn on one connection (see `writer`), and a lock file keeps a second process out.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeAlias, TypeVar

import aiosqlite

from phoenix_compat.tasks.database_file import check_file, lock_file, store_error
from phoenix_compat.tasks.errors import StoreOpenError, StoreUnavailableError
from phoenix_compat.tasks.writer import MAX_BATCH, Work, WriteCounts, Writer

T = TypeVar("T")
Params: TypeAlias = Mapping[str, object] | tuple[object, ...]

_READER_PRAGMAS: Iterable[str] = ("PRAGMA query_only = ON", "PRAGMA wal_autocheckpoint = 0")


class Database:
    """An open database file. Made by `open`, ended by `close`."""

    def __init__(self, writer: Writer, reader: aiosqlite.Connection, lock: IO[str]) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._is_closing = False

    @classmethod
    async def open(
        cls,
        path: Path,
        schema_sql: str,
        *,
        busy_timeout_s: float = 5.0,
        max_batch: int = MAX_BATCH,
    ) -> Self:
        """Open the file: a new one gets the schema, an older one is brought up to it.

        Args:
            path: where the database is or shall be; its folder is made when missing.
            schema_sql: all DDL; its last statement sets `user_version`.
            busy_timeout_s: how long a statement waits for another process's lock, in seconds.
            max_batch: so many writes share a commit.

        Raises:
            StoreOpenError: with the reason, one sentence; the file is left as it is.
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

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def write_counts(self) -> WriteCounts:
        """How many writes and commits there were."""
        return self._writer.counts

    @property
    def waiting_writes(self) -> int:
        """How many writes wait for the disk."""
        return self._writer.waiting

    async def write(self, work: Work[T]) -> T:
        """Do `work` in a transaction, which others may share; back when it is committed.

        Raises:
            StoreUnavailableError: locked, full, failing or closing; nothing was written.
            StoreError: a constraint is broken; nothing was written.
        """
        return await self._writer.write(work)

    async def read(self, sql: str, params: Params = ()) -> list[sqlite3.Row]:
        """All rows of a query, from the connection that cannot write.

        Raises:
            StoreUnavailableError: locked or failing.
        """
        try:
            rows = await self._reader.execute_fetchall(sql, params)
        except (sqlite3.Error, ValueError) as error:
            raise store_error(error) from error
        return list(rows)

    async def close(self) -> None:
        """Carry out what was accepted, checkpoint, and let the file go. Twice is once."""
        if self._is_closing:
            return
        self._is_closing = True
        await self._writer.finish()
        await self._reader.close()
        await self._writer.close()
        self._lock.close()


async def _open_reader(path: Path, busy_timeout_s: float) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None, timeout=busy_timeout_s)
    connection.row_factory = sqlite3.Row
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
