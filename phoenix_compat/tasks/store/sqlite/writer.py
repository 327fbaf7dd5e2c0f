"""Writes to the database on one connection, in a thread of its own, with group commit.

Writes that arrive during a commit wait and then share the next transaction: one BEGIN IMMEDIATE,
one SAVEPOINT each, one COMMIT, one fsync. A write returns only after the commit that contains it.
Each batch is one call in the thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar

import structlog

from phoenix_compat.tasks.model.errors import StoreGoneError, StoreUnavailableError
from phoenix_compat.tasks.store.database import Work, WriteCounts
from phoenix_compat.tasks.store.sqlite.database_file import (
    TOLERANT_TEXT,
    FileIdentity,
    disk_problem,
    file_identity,
    store_error,
)
from phoenix_compat.tasks.store.sqlite.transaction import SQLiteTransaction, run

T = TypeVar("T")

MAX_WAITING_WRITES = 1_000
"""Further writes are refused, because the disk is too slow for them."""
MAX_BATCH = 256
"""The most writes that share a commit, so that the first of them does not wait too long."""

_PRAGMAS: Iterable[str] = (
    "PRAGMA journal_mode = WAL",
    # NORMAL could lose tasks that were already acknowledged with a 202 when the power fails.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
)

log = structlog.stdlib.get_logger(__name__)


class _Result(NamedTuple, Generic[T]):
    """The result of one write: a value, or an error for the caller."""

    value: T | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _Write:
    work: Work[Any]
    done: asyncio.Future[Any]

    def resolve(self, result: _Result[Any]) -> None:
        """Wake the caller, unless it was cancelled."""
        if self.done.done():
            return
        if result.error is None:
            self.done.set_result(result.value)
        else:
            self.done.set_exception(result.error)


@dataclass(slots=True)
class Writer:
    """An open connection that writes. Made by `open`, ended by `close`.

    An asyncio task commits batches until no write is waiting, then ends; the next write starts a
    new one. If a bug ends it early, every waiting caller gets an error, and the next write starts
    a new one as well.

    Attributes:
        last_error: why the last write failed; None after a write that succeeded.
    """

    path: Path
    last_error: StoreUnavailableError | None = None
    counts: WriteCounts = field(default_factory=WriteCounts)
    max_batch: int = MAX_BATCH
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="store-writer")
    )
    _connection: sqlite3.Connection = field(init=False)
    _identity: FileIdentity | None = None
    _waiting: deque[_Write] = field(default_factory=deque)
    _committing: asyncio.Task[None] | None = None
    _is_closing: bool = False

    @classmethod
    async def open(cls, path: Path, *, busy_timeout_s: float, max_batch: int = MAX_BATCH) -> Self:
        """Open the connection to a file that exists and was checked.

        Raises:
            StoreUnavailableError: it is locked, or SQLite cannot create its files in the folder.
        """
        writer = cls(path, max_batch=max_batch)
        try:
            await writer._in_thread(lambda: writer._connect(busy_timeout_s))
        except BaseException:
            writer._thread.shutdown(wait=False)
            raise
        return writer

    @property
    def waiting(self) -> int:
        """How many writes are waiting for the next batch."""
        return len(self._waiting)

    async def write(self, work: Work[T]) -> T:
        """Run `work` in the next transaction; returns after the commit.

        If the caller is cancelled, its write is carried out nevertheless.

        Raises:
            StoreUnavailableError: locked, full, failing or closing; nothing was written.
            StoreError: a constraint was violated; nothing was written.
            Exception: whatever `work` raised; nothing was written.
        """
        if self._is_closing:
            raise StoreUnavailableError("the database is closing")
        if len(self._waiting) >= MAX_WAITING_WRITES:
            self.counts.refused += 1
            raise StoreUnavailableError(
                f"{MAX_WAITING_WRITES} writes are waiting for the disk already"
            )
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_all(), name="store-writer")
        # Cancelling the caller cancels only `done`; the work stays in the queue.
        return await done

    async def finish(self) -> None:
        """Refuse new writes and carry out those that were accepted."""
        self._is_closing = True
        if self._committing is not None:
            await asyncio.wait({self._committing})

    async def close(self) -> None:
        """Finish, checkpoint, and close the file. No other connection may be open."""
        await self.finish()
        await self._in_thread(self._checkpoint_and_close)
        self._thread.shutdown(wait=False)

    async def _commit_all(self) -> None:
        while self._waiting:
            size = min(len(self._waiting), self.max_batch)
            batch = [self._waiting.popleft() for _ in range(size)]
            self.counts.batches += 1
            self.counts.writes += size
            self.counts.largest = max(self.counts.largest, size)
            works = [write.work for write in batch]
            began_s = time.perf_counter()
            try:
                results = await self._in_thread(partial(self._commit, works))
            except BaseException as error:
                # The event loop ends or the thread is gone; the writes may not have happened.
                stopped = StoreUnavailableError("the writer was stopped")
                for write in (*batch, *self._waiting):
                    write.resolve(_Result(error=stopped))
                self._waiting.clear()
                if not isinstance(error, Exception):
                    raise
                self.last_error = stopped
                self.counts.crashes += 1
                log.exception("store.writer_crashed")
                return
            self.counts.commit.observe(time.perf_counter() - began_s)
            self._remember_error(results)
            for write, result in zip(batch, results, strict=True):
                write.resolve(result)

    def _remember_error(self, results: Iterable[_Result[Any]]) -> None:
        """Remember whether the database can be written; a caller's own errors do not count."""
        errors = [result.error for result in results]
        failures = [error for error in errors if isinstance(error, StoreUnavailableError)]
        self.last_error = failures[-1] if failures else None

    async def check_file(self) -> None:
        """Check that the file is still where it was opened. Nothing is written.

        Raises:
            StoreGoneError: it was removed or replaced.
        """
        try:
            await self._in_thread(self._check_identity)
        except StoreGoneError as error:
            self.last_error = error
            raise

    async def check_disk(self) -> None:
        """Check that the disk has room and can be written to. Nothing is written.

        Raises:
            StoreUnavailableError: it has not, or it cannot.
        """
        problem = await self._in_thread(lambda: disk_problem(self.path))
        if problem is not None:
            raise StoreUnavailableError(problem)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # The methods below run in the thread.

    def _connect(self, busy_timeout_s: float) -> None:
        try:
            # The event loop's thread does not use it, but may garbage-collect it.
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=busy_timeout_s, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise store_error(error) from error
        self._connection.row_factory = sqlite3.Row
        self._connection.text_factory = TOLERANT_TEXT
        try:
            for pragma in _PRAGMAS:
                self._connection.execute(pragma).fetchall()
        except sqlite3.Error as error:
            self._connection.close()
            raise store_error(error) from error
        self._identity = file_identity(self.path)

    def _checkpoint_and_close(self) -> None:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            # The WAL stays and is replayed when the file is opened again, so nothing is lost.
            log.warning("database.checkpoint_failed", reason=str(error))
        self._connection.close()

    def _commit(self, works: Sequence[Work[Any]]) -> list[_Result[Any]]:
        """Commit all writes in one transaction, or one by one if that is rolled back as a whole."""
        self._roll_back()  # a transaction that a bug may have left open
        try:
            self._check_identity()
            self._connection.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, StoreGoneError) as error:
            return [_Result(error=_as_store_error(error)) for _ in works]
        try:
            results = self._savepoints(works)
        except (sqlite3.Error, StoreUnavailableError) as error:
            self._roll_back()
            if len(works) == 1:
                return [_Result(error=_as_store_error(error))]
            # A full disk rolls everything back; smaller writes may still fit.
            return [result for work in works for result in self._commit([work])]
        try:
            self._check_identity()
        except StoreGoneError as error:
            return [_Result(error=error) for _ in works]
        return results

    def _savepoints(self, works: Sequence[Work[Any]]) -> list[_Result[Any]]:
        """Run each write in a savepoint, then commit.

        Raises:
            sqlite3.Error, StoreUnavailableError: the whole transaction was rolled back.
        """
        results: list[_Result[Any]] = []
        for work in works:
            results.append(self._savepoint(work))
            if not self._connection.in_transaction:
                raise results[-1].error or StoreUnavailableError("the transaction was rolled back")
        self._connection.execute("COMMIT")
        return results

    def _savepoint(self, work: Work[T]) -> _Result[T]:
        """Run one write; an error rolls back this write only."""
        try:
            self._connection.execute("SAVEPOINT one")
            try:
                value = run(work, SQLiteTransaction(self._connection))
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK TO one")
                    self._connection.execute("RELEASE one")
                raise
            self._connection.execute("RELEASE one")
        except Exception as error:  # noqa: BLE001 - raised for the caller of this write
            return _Result(error=_as_store_error(error))
        return _Result(value)

    def _check_identity(self) -> None:
        if file_identity(self.path) != self._identity:
            log.error("database.gone", path=str(self.path))
            raise StoreGoneError(self.path)

    def _roll_back(self) -> None:
        if not self._connection.in_transaction:
            return
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.warning("database.rollback_failed", reason=str(error))


def _as_store_error(error: Exception) -> Exception:
    """Convert an error of SQLite; other errors stay as they are."""
    return store_error(error) if isinstance(error, sqlite3.Error) else error
