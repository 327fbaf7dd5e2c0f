"""Runs the writes of this process in transactions.

A write that arrives while fewer than `MAX_TRANSACTIONS` run begins one at once. Others wait, and
then share the next one, one after the other: so the commits, for which the server waits for its
disk, become fewer the more there is to write. If one write of a shared transaction fails, the
others run again, with a savepoint before each.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from phoenix_compat.tasks.model.errors import StoreUnavailableError, UniqueError
from phoenix_compat.tasks.store.database import Work, WriteCounts
from phoenix_compat.tasks.store.postgres.connections import Connection, Connections, ended_at
from phoenix_compat.tasks.store.postgres.dialect import Dialect
from phoenix_compat.tasks.store.postgres.errors import (
    DRIVER_ERRORS,
    NotCommittedError,
    UnpreparedError,
    is_lost,
    outcome_unknown,
    unavailable,
)
from phoenix_compat.tasks.store.postgres.transaction import Deferred, PostgresTransaction

T = TypeVar("T")

MAX_TRANSACTIONS: Final = 4
"""How many transactions this process has open at a time."""
MAX_BATCH: Final = 64
"""The most writes that share a transaction."""
MIN_SHARE: Final = 16
"""More writes are shared out among the transactions, so that they run side by side."""
MAX_WAITING_WRITES: Final = 1_000
"""Further writes are refused, because the server is too slow for them."""
MAX_TRIES: Final = 6
"""How often a write is run when others are in its way, or the connection is lost before the
commit."""

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_SAVEPOINT: Final = "SAVEPOINT one_write"
_NEXT_SAVEPOINT: Final = f"RELEASE SAVEPOINT one_write; {_SAVEPOINT}"
_ROLLBACK_TO: Final = "ROLLBACK TO SAVEPOINT one_write"
_MAX_PAUSE_S: Final = 0.05

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Write:
    """A write that waits or runs.

    Attributes:
        deadline: in the loop's time; its caller gets an error then.
        tries: how often it was run.
        is_over: whether it has its result.
    """

    work: Work[Any]
    done: asyncio.Future[Any]
    deadline: float
    tries: int = 0
    is_over: bool = False
    timer: asyncio.TimerHandle | None = None

    def succeed(self, value: object) -> None:
        """Wake the caller, unless it was cancelled."""
        self.is_over = True
        if not self.done.done():
            self.done.set_result(value)

    def fail(self, error: BaseException) -> None:
        """The same, with an error."""
        self.is_over = True
        if not self.done.done():
            self.done.set_exception(error)


class Writer:
    """All writes of this process.

    Attributes:
        counts: see `WriteCounts`; a batch is a transaction.
        last_error: why the last transaction failed; None after one that was committed.
    """

    def __init__(self, connections: Connections, dialect: Dialect, timeout_s: float) -> None:
        self.counts = WriteCounts()
        self.last_error: StoreUnavailableError | None = None
        self._connections = connections
        self._dialect = dialect
        self._timeout_s = timeout_s
        self._waiting: deque[_Write] = deque()
        self._running: set[asyncio.Task[Any] | None] = set()
        self._is_closing = False

    @property
    def waiting(self) -> int:
        """How many writes wait for a transaction."""
        return len(self._waiting)

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction; returns after the commit.

        If the caller is cancelled, its write is carried out nevertheless.

        Raises:
            OutcomeUnknownError: the connection was lost during the commit.
            StoreUnavailableError: not connected, overloaded or closing; nothing was written.
            StoreError: a constraint was violated; nothing was written.
            Exception: whatever `work` raised; nothing was written.
        """
        if self._is_closing:
            raise StoreUnavailableError("the database is closing")
        if len(self._waiting) >= MAX_WAITING_WRITES:
            self.counts.refused += 1
            raise StoreUnavailableError(
                f"{MAX_WAITING_WRITES} writes are waiting for PostgreSQL already"
            )
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        write = _Write(work, done, loop.time() + self._timeout_s)
        write.timer = loop.call_at(write.deadline, self._expire, write)
        self._waiting.append(write)
        if len(self._running) < MAX_TRANSACTIONS:
            task = loop.create_task(self._run_all(), name="store-writer")
            self._running.add(task)
        return await done

    async def close(self) -> None:
        """Finish the accepted writes."""
        self._is_closing = True
        while running := [task for task in self._running if task is not None]:
            await asyncio.wait(running)

    def _expire(self, write: _Write) -> None:
        """Give up a write that no transaction has taken."""
        if write in self._waiting:
            self._waiting.remove(write)
            self.last_error = unavailable(TimeoutError())
            write.fail(self.last_error)

    async def _run_all(self) -> None:
        """Run transactions until no write waits."""
        try:
            while self._waiting:
                share = -(-len(self._waiting) // MAX_TRANSACTIONS)
                size = min(max(share, MIN_SHARE), MAX_BATCH, len(self._waiting))
                await self._run_batch([self._waiting.popleft() for _ in range(size)])
        finally:
            # At once: a write that comes before a callback would have nobody to run it.
            self._running.discard(asyncio.current_task())

    async def _run_batch(self, batch: list[_Write]) -> None:
        for write in batch:
            if write.timer is not None:
                write.timer.cancel()
        try:
            await self._run(batch)
        except Exception:  # a bug in one batch must leave neither its callers nor others waiting
            self.counts.crashes += 1
            log.exception("store.writer_failed")
            for write in batch:
                write.fail(StoreUnavailableError("the writer failed"))

    async def _run(self, batch: list[_Write]) -> None:
        left = await self._commit(batch, careful=False)
        if len(batch) > 1 and left:
            left = await self._commit(left, careful=True)
        for write in left:
            while await self._commit([write], careful=False):
                pause_s = random.uniform(0, _MAX_PAUSE_S * write.tries)  # noqa: S311 - only spreads them
                await asyncio.sleep(pause_s)

    async def _commit(self, batch: list[_Write], *, careful: bool) -> list[_Write]:
        """Run writes in one transaction.

        Args:
            careful: let each one fail alone, which takes one more round trip for each.

        Returns:
            Those that are to run again; nothing of them was written.
        """
        began_s = time.perf_counter()
        self.counts.batches += 1
        deadline = min(write.deadline for write in batch)
        try:
            connection = await self._connections.acquire(deadline)
        except DRIVER_ERRORS as error:
            return self._fail(batch, unavailable(error))
        is_usable = False
        try:
            with ended_at(connection, deadline):
                left = await self._transact(connection, batch, careful=careful)
            is_usable = True
        except DRIVER_ERRORS as error:
            left = self._lost(batch, error, deadline)
        finally:
            self._connections.release(connection, is_usable=is_usable)
        self.counts.writes += len(batch) - len(left)
        self.counts.largest = max(self.counts.largest, len(batch) - len(left))
        self.counts.commit.observe(time.perf_counter() - began_s)
        return left

    async def _transact(
        self, connection: Connection, batch: list[_Write], *, careful: bool
    ) -> list[_Write]:
        """The same on a connection.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the connection is lost, and
                those of the writes that have no result were not written.
        """
        await connection.execute(_BEGIN)
        results: list[tuple[_Write, object, Exception | None]] = []
        deferred = Deferred()
        left: list[_Write] = []
        for place, write in enumerate(batch):
            if careful:
                await connection.execute(_NEXT_SAVEPOINT if place else _SAVEPOINT)
            write.tries += 1
            transaction = PostgresTransaction(connection, self._dialect)
            try:
                value = await write.work(transaction)
                if careful or len(batch) == 1:
                    await transaction.flush()
                else:
                    deferred.take(transaction.deferred)
                results.append((write, value, None))
            except Exception as error:  # noqa: BLE001 - it is the caller's
                if not transaction.has_written:
                    results.append((write, None, error))
                    continue
                await connection.execute(_ROLLBACK_TO if careful else "ROLLBACK")
                again = self._refuse(write, error)
                if not careful:
                    return [other for other in batch if again or other is not write]
                if again:
                    left.append(write)
        if not await self._run_deferred(connection, deferred):
            return batch
        await self._commit_transaction(connection, [write for write, _, _ in results])
        for write, value, failure in results:
            if failure is None:
                write.succeed(value)
            else:
                write.fail(failure)
        return left

    async def _run_deferred(self, connection: Connection, deferred: Deferred) -> bool:
        """Run what the writes of a transaction have put off; False if that has ended it."""
        try:
            await deferred.run(connection, self._dialect)
        except DRIVER_ERRORS as error:
            if is_lost(connection, error):
                raise
            await connection.execute("ROLLBACK")
            return False
        return True

    async def _commit_transaction(self, connection: Connection, writes: list[_Write]) -> None:
        """Commit; the writes fail if it is not known whether they are written."""
        if connection.is_closed():
            raise ConnectionResetError
        try:
            outcome = await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            self._fail(writes, outcome_unknown(error))
            raise
        if outcome != "COMMIT":
            # A work went on after a statement had failed, which PostgreSQL does not allow.
            self._fail(writes, StoreUnavailableError("PostgreSQL has rolled a write back"))
        else:
            self.last_error = None

    def _refuse(self, write: _Write, error: Exception) -> bool:
        """Decide whether a write that was rolled back runs again; if not, its caller gets why."""
        if isinstance(error, UnpreparedError):
            self._connections.use_no_prepared()
        may_run_again = isinstance(error, NotCommittedError) or type(error) is UniqueError
        if may_run_again and write.tries < MAX_TRIES:
            return True
        if isinstance(error, NotCommittedError):
            self._fail([write], StoreUnavailableError("PostgreSQL was too busy"))
        else:
            write.fail(error)
        return False

    def _lost(self, batch: list[_Write], error: BaseException, deadline: float) -> list[_Write]:
        """Decide about a transaction whose connection was lost."""
        left = [write for write in batch if not write.is_over]
        if asyncio.get_running_loop().time() >= deadline:
            self._connections.forget_idle()
            return self._fail(left, unavailable(TimeoutError()))
        if any(write.tries >= MAX_TRIES for write in left):
            return self._fail(left, unavailable(error))
        return left

    def _fail(self, batch: list[_Write], error: StoreUnavailableError) -> list[_Write]:
        self.last_error = error
        for write in batch:
            write.fail(error)
        return []
