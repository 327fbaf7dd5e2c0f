"""One SQLite file: a connection that writes and checkpoints, and one that only reads.

SQLite before 3.51.3 can corrupt a WAL that two connections write or checkpoint at once, so all
writes take their turn on one connection (see `writer`), and a lock file keeps a second process out.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Final, Self, TypeAlias, TypeVar

import aiosqlite

from phoenix_compat.tasks.model.errors import StoreError, StoreOpenError, StoreUnavailableError
from phoenix_compat.tasks.store.sqlite.database_file import (
    TOLERANT_TEXT,
    check_file,
    lock_file,
    store_error,
)
from phoenix_compat.tasks.store.sqlite.writer import MAX_BATCH, Work, WriteCounts, Writer

T = TypeVar("T")
Params: TypeAlias = Mapping[str, object] | tuple[object, ...]

_READER_PRAGMAS: Iterable[str] = ("PRAGMA query_only = ON", "PRAGMA wal_autocheckpoint = 0")


LOOK_EVERY_S: Final = 1.0
"""`trouble` looks at the disk no more often than this."""
LOOK_PATIENCE_S: Final = 0.5
"""So long `trouble` waits for what it looks at."""


class Database:
    """An open database file. Made by `open`, ended by `close`."""

    def __init__(self, writer: Writer, reader: aiosqlite.Connection, lock: IO[str]) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._is_closing = False
        self._read_trouble: StoreUnavailableError | None = None
        self._looking: asyncio.Task[None] | None = None
        self._looked_at_s = -LOOK_EVERY_S

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

    async def __aexit__(self, *exc_info: object) -> None:
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
            told = store_error(error)
            if isinstance(told, StoreUnavailableError):
                self._read_trouble = told
            raise told from error
        self._read_trouble = None
        return list(rows)

    async def trouble(self) -> StoreUnavailableError | None:
        """Why the database cannot be used just now; None when it can, as far as is known.

        Known is how the last write and the last read went. While they went well it is looked, at
        most every `LOOK_EVERY_S`, whether the file is still there; else something small is written.
        """
        now_s = time.monotonic()
        is_looking = self._looking is not None and not self._looking.done()
        if not is_looking and now_s - self._looked_at_s >= LOOK_EVERY_S:
            self._looked_at_s = now_s
            self._looking = asyncio.create_task(self._look(), name="store-look")
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=LOOK_PATIENCE_S)
            if not self._looking.done():
                return self._known_trouble or StoreUnavailableError("the disk does not answer")
        return self._known_trouble

    @property
    def _known_trouble(self) -> StoreUnavailableError | None:
        return self._writer.trouble or self._read_trouble

    async def _look(self) -> None:
        try:
            if self._known_trouble is None:
                await self._writer.look()
            else:
                await self._writer.write(_write_something)
                await self.read("SELECT 1")
        except StoreError:
            pass  # remembered by who met it

    async def close(self) -> None:
        """Carry out what was accepted, checkpoint, and let the file go. Twice is once."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._looking is not None:
            await asyncio.wait({self._looking})
        await self._writer.finish()
        await self._reader.close()
        await self._writer.close()
        self._lock.close()


def _write_something(connection: sqlite3.Connection) -> None:
    """Write a page and change nothing."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {int(version)}")


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
