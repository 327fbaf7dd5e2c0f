"""One SQLite file: a connection that writes and checkpoints, and one that only reads.

SQLite before 3.51.3 can corrupt a WAL that two connections write or checkpoint at once, so all
writes take their turn on one connection, and a lock file keeps a second process out.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeAlias, TypeVar

import aiosqlite
import structlog

from phoenix_compat.tasks.database_file import check_file, lock_file, store_error
from phoenix_compat.tasks.errors import StoreOpenError, StoreUnavailableError

T = TypeVar("T")
Params: TypeAlias = Mapping[str, object] | tuple[object, ...]

MAX_WAITING_WRITES = 1_000
"""More than this are refused: the disk is not keeping up."""

log = structlog.stdlib.get_logger(__name__)


class Database:
    """An open database file. Made by `open`, ended by `close`."""

    def __init__(
        self, writer: aiosqlite.Connection, reader: aiosqlite.Connection, lock: IO[str]
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._turn = asyncio.Lock()
        self._writes: set[asyncio.Task[Any]] = set()
        self._is_closing = False

    @classmethod
    async def open(cls, path: Path, schema_sql: str, *, busy_timeout_s: float = 5.0) -> Self:
        """Open the file, creating it from the schema when it is new.

        Args:
            path: where the database is or shall be; its folder is made when missing.
            schema_sql: all DDL; its last statement sets `user_version`.
            busy_timeout_s: how long a statement waits for another process's lock, in seconds.

        Raises:
            StoreOpenError: with the reason, one sentence; the file is left as it is.
        """
        lock = await asyncio.to_thread(lock_file, path)
        try:
            await asyncio.to_thread(check_file, path, schema_sql, busy_timeout_s)
            writer = await _connect(path, busy_timeout_s, _WRITER_PRAGMAS)
            try:
                reader = await _connect(path, busy_timeout_s, _READER_PRAGMAS)
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

    async def write(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Do `work` in one transaction of the writing connection and commit it.

        A caller that is cancelled leaves; its transaction is carried out all the same.

        Raises:
            StoreUnavailableError: locked, full or failing; nothing was written.
            StoreError: a constraint is broken; nothing was written.
        """
        if self._is_closing:
            raise StoreUnavailableError("the database is closing")
        if len(self._writes) >= MAX_WAITING_WRITES:
            raise StoreUnavailableError(f"{MAX_WAITING_WRITES} writes wait for the disk already")
        write = asyncio.create_task(self._in_turn(work))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        return await asyncio.shield(write)

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
        if self._writes:
            await asyncio.wait(self._writes)
        await self._reader.close()
        try:
            await self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            # The WAL stays and is replayed at the next open: nothing is lost.
            log.warning("database.checkpoint_failed", reason=str(error))
        await self._writer.close()
        self._lock.close()

    async def _in_turn(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        async with self._turn:
            return await self._transaction(work)

    async def _transaction(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        try:
            await self._writer.execute("BEGIN IMMEDIATE")
            result = await work(self._writer)
            await self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            await self._roll_back()
            raise store_error(error) from error
        except BaseException:
            await self._roll_back()
            raise
        return result

    async def _roll_back(self) -> None:
        if not self._writer.in_transaction:
            return
        try:
            await self._writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.warning("database.rollback_failed", reason=str(error))


_WRITER_PRAGMAS: Iterable[str] = (
    "PRAGMA journal_mode = WAL",
    # NORMAL loses acknowledged tasks at a power cut; a 202 is a promise.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
)
_READER_PRAGMAS: Iterable[str] = ("PRAGMA query_only = ON", "PRAGMA wal_autocheckpoint = 0")


async def _connect(
    path: Path, busy_timeout_s: float, pragmas: Iterable[str]
) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None, timeout=busy_timeout_s)
    connection.row_factory = sqlite3.Row
    try:
        for pragma in pragmas:
            await connection.execute_fetchall(pragma)
    except sqlite3.Error as error:
        await connection.close()
        raise store_error(error) from error
    except BaseException:
        await connection.close()
        raise
    return connection
