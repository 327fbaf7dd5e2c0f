"""The one connection that writes, in a thread of its own: what waits together commits together.

While a commit is on its way to the disk the writes that arrive wait, and then share the next one:
one BEGIN IMMEDIATE, one SAVEPOINT each, one COMMIT, one fsync. Who awaits a write is answered after
the commit that contains it, never before. One thread visit per batch, not per statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeAlias, TypeVar

import structlog

from phoenix_compat.tasks.model.errors import StoreGoneError, StoreUnavailableError
from phoenix_compat.tasks.store.sqlite.database_file import (
    TOLERANT_TEXT,
    FileIdentity,
    file_identity,
    store_error,
)

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], T]
"""Statements of one write, inside a transaction; may be run again when a batch is rolled back."""

MAX_WAITING_WRITES = 1_000
"""More than this are refused: the disk is not keeping up."""
MAX_BATCH = 256
"""So many share a commit: the first of them must not wait for ever more."""

_PRAGMAS: Iterable[str] = (
    "PRAGMA journal_mode = WAL",
    # NORMAL loses acknowledged tasks at a power cut; a 202 is a promise.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
)

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class WriteCounts:
    """What the writer has done since it was opened.

    Attributes:
        batches: transactions that were begun, each with one fsync when it committed.
        writes: writes that were in them.
        largest: writes of the largest batch.
        refused: writes that found the queue full.
        crashes: batches that a bug ended; nothing of them was written.
    """

    batches: int = 0
    writes: int = 0
    largest: int = 0
    refused: int = 0
    crashes: int = 0


class _Answer(NamedTuple, Generic[T]):
    """What came of one write: a value, or the error for the one who waits."""

    value: T | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _Write:
    work: Work[Any]
    done: asyncio.Future[Any]

    def tell(self, answer: _Answer[Any]) -> None:
        """Wake the one who waits, unless it has left."""
        if self.done.done():
            return
        if answer.error is None:
            self.done.set_result(answer.value)
        else:
            self.done.set_exception(answer.error)


@dataclass(slots=True)
class Writer:
    """An open writing connection. Made by `open`, ended by `close`.

    Each batch is a task of its own, which ends: there is nothing that could die between two. One
    that a bug ends tells everybody who waits that nothing was written, and the next begins anew.

    Attributes:
        trouble: why the last write failed, None once one has succeeded.
    """

    path: Path
    trouble: StoreUnavailableError | None = None
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
        """Open the connection on a file that exists and was checked.

        Raises:
            StoreUnavailableError: locked, or SQLite cannot put its files beside it.
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
        """How many writes wait for the commit after this one."""
        return len(self._waiting)

    async def write(self, work: Work[T]) -> T:
        """Do `work` in the next transaction; back when that is committed.

        A caller that is cancelled leaves; its write is carried out all the same.

        Raises:
            StoreUnavailableError: locked, full, failing or closing; nothing of it was written.
            StoreError: a constraint is broken; nothing of it was written.
            Exception: whatever `work` raised; nothing of it was written.
        """
        if self._is_closing:
            raise StoreUnavailableError("the database is closing")
        if len(self._waiting) >= MAX_WAITING_WRITES:
            self.counts.refused += 1
            raise StoreUnavailableError(f"{MAX_WAITING_WRITES} writes wait for the disk already")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_all(), name="store-writer")
        # Who is cancelled cancels `done` and nothing else: the work is in the queue.
        return await done

    async def finish(self) -> None:
        """Take no more writes and carry out those that were accepted."""
        self._is_closing = True
        if self._committing is not None:
            await asyncio.wait({self._committing})

    async def close(self) -> None:
        """Finish, checkpoint, and let the file go. No other connection may be open."""
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
            try:
                answers = await self._in_thread(partial(self._commit, works))
            except BaseException as error:
                # The loop ends or the thread is gone: what was not answered may not have happened.
                stopped = StoreUnavailableError("the writer was stopped")
                for write in (*batch, *self._waiting):
                    write.tell(_Answer(error=stopped))
                self._waiting.clear()
                if not isinstance(error, Exception):
                    raise
                self.trouble = stopped
                self.counts.crashes += 1
                log.exception("store.writer_crashed")
                return
            self._note_outcome(answers)
            for write, answer in zip(batch, answers, strict=True):
                write.tell(answer)

    def _note_outcome(self, answers: Iterable[_Answer[Any]]) -> None:
        """Remember whether the disk takes what is written; a caller's own error says nothing."""
        errors = [answer.error for answer in answers]
        troubles = [error for error in errors if isinstance(error, StoreUnavailableError)]
        self.trouble = troubles[-1] if troubles else None

    async def look(self) -> None:
        """See whether the file is still where it was opened, without a write to it.

        Raises:
            StoreGoneError: it is not.
        """
        try:
            await self._in_thread(self._check_identity)
        except StoreGoneError as error:
            self.trouble = error
            raise

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # From here on: in the thread.

    def _connect(self, busy_timeout_s: float) -> None:
        try:
            # The loop's thread never touches it, but an abandoned writer is collected there.
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
            # The WAL stays and is replayed at the next open: nothing is lost.
            log.warning("database.checkpoint_failed", reason=str(error))
        self._connection.close()

    def _commit(self, works: Sequence[Work[Any]]) -> list[_Answer[Any]]:
        """All writes in one transaction; one by one when that is rolled back as a whole."""
        self._roll_back()  # what a bug may have left
        try:
            self._check_identity()
            self._connection.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, StoreGoneError) as error:
            return [_Answer(error=_told(error)) for _ in works]
        try:
            answers = self._savepoints(works)
        except (sqlite3.Error, StoreUnavailableError) as error:
            self._roll_back()
            if len(works) == 1:
                return [_Answer(error=_told(error))]
            # A full disk rolls everything back; whoever still fits shall not suffer for the rest.
            return [answer for work in works for answer in self._commit([work])]
        try:
            self._check_identity()
        except StoreGoneError as error:
            return [_Answer(error=error) for _ in works]
        return answers

    def _savepoints(self, works: Sequence[Work[Any]]) -> list[_Answer[Any]]:
        """The writes and the commit.

        Raises:
            sqlite3.Error, StoreUnavailableError: the whole transaction is lost.
        """
        answers: list[_Answer[Any]] = []
        for work in works:
            answers.append(self._savepoint(work))
            if not self._connection.in_transaction:
                raise answers[-1].error or StoreUnavailableError("it was rolled back")
        self._connection.execute("COMMIT")
        return answers

    def _savepoint(self, work: Work[T]) -> _Answer[T]:
        """One write, whose error undoes itself and nothing else."""
        try:
            self._connection.execute("SAVEPOINT one")
            try:
                value = work(self._connection)
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK TO one")
                    self._connection.execute("RELEASE one")
                raise
            self._connection.execute("RELEASE one")
        except Exception as error:  # noqa: BLE001 - handed to the one who awaits this write
            return _Answer(error=_told(error))
        return _Answer(value)

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


def _told(error: Exception) -> Exception:
    """The error under the name that the store's callers know."""
    return store_error(error) if isinstance(error, sqlite3.Error) else error
