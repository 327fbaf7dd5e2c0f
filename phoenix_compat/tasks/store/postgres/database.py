"""An open PostgreSQL database, which other servers write too.

Each read is a statement of its own. Writes are transactions (see `writer`), of which READ COMMITTED
with locks of rows keeps those apart that decide by what they read; `dialect` has the locks.
`synchronous_commit` is left as the operator has set it: unless it is off, what was acknowledged
survives a crash of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Self, TypeVar

from phoenix_compat.tasks.model.errors import StoreError, StoreOpenError, StoreUnavailableError
from phoenix_compat.tasks.store.database import Params, Row, Work, WriteCounts
from phoenix_compat.tasks.store.postgres.connections import (
    MAX_CONNECTIONS,
    Connections,
    ended_at,
    name_of,
)
from phoenix_compat.tasks.store.postgres.dialect import SLOW, Dialect
from phoenix_compat.tasks.store.postgres.errors import (
    DRIVER_ERRORS,
    NotCommittedError,
    UnpreparedError,
    is_lost,
    reason,
    store_error,
    unavailable,
)
from phoenix_compat.tasks.store.postgres.migrations import check_database, check_finished
from phoenix_compat.tasks.store.postgres.writer import Writer

T = TypeVar("T")

TIMEOUT_S: Final = 4.5
"""How long a caller waits for PostgreSQL; a client then gets a 503 within five seconds."""
SLOW_TIMEOUT_S: Final = 60.0
"""The same for statements that read all tasks, which no client waits for."""
OPEN_TIMEOUT_S: Final = 45.0
PROBE_INTERVAL_S: Final = 1.0
"""`health_error` asks the server at most this often."""
PROBE_TIMEOUT_S: Final = 0.5
"""How long `health_error` waits for the answer."""
_MAX_TRIES: Final = 3


class PostgresDatabase:
    """An open database. Made by `open`, ended by `close`.

    Attributes:
        is_shared: always.
        name: the address without the password, for people.
    """

    is_shared: Final = True

    def __init__(self, url: str, connections: Connections, timeout_s: float) -> None:
        self.name = name_of(url)
        self._connections = connections
        self._timeout_s = timeout_s
        self._dialect = Dialect()
        self._writer = Writer(connections, self._dialect, timeout_s)
        self._read_error: StoreUnavailableError | None = None
        self._probe: asyncio.Task[None] | None = None
        self._probed_at_s = -PROBE_INTERVAL_S
        self._is_closing = False

    @classmethod
    async def open(
        cls,
        url: str,
        schema_sql: str,
        *,
        max_connections: int = MAX_CONNECTIONS,
        timeout_s: float = TIMEOUT_S,
        may_be_unfinished: bool = False,
    ) -> Self:
        """Open a database. An empty one gets the schema, and one of an older version is migrated.

        Args:
            url: see `Connections`.
            schema_sql: the text of schema.postgres.sql.
            max_connections: the most that this process opens.
            timeout_s: how long a caller waits at most.
            may_be_unfinished: also open one that `migrate-store` is filling.

        Raises:
            ConfigError: the URL is not one of PostgreSQL.
            StoreOpenError: the text gives the reason; the database was not changed.
        """
        connections = Connections(url, max_connections)
        database = cls(url, connections, timeout_s)
        deadline = asyncio.get_running_loop().time() + OPEN_TIMEOUT_S
        try:
            connection = await connections.acquire(deadline)
        except DRIVER_ERRORS as error:
            raise StoreOpenError(database.name, f"{reason(error)}; check database_url") from error
        try:
            with ended_at(connection, deadline):
                await check_database(connection, database.name, schema_sql)
                if not may_be_unfinished:
                    await check_finished(connection, database.name)
        except DRIVER_ERRORS as error:
            connections.release(connection, is_usable=False)
            raise StoreOpenError(database.name, reason(error)) from error
        except BaseException:
            connections.release(connection, is_usable=False)
            raise
        connections.release(connection, is_usable=True)
        return database

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
        """How many writes wait for a transaction."""
        return self._writer.waiting

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction, which other writes of this process may share.

        Raises:
            OutcomeUnknownError: the connection was lost during the commit.
            StoreUnavailableError: not connected, overloaded or closing; nothing was written.
            StoreError: a constraint was violated; nothing was written.
        """
        return await self._writer.write(work)

    async def read(self, sql: str, params: Params = ()) -> Sequence[Row]:
        """All rows of a query.

        Raises:
            StoreUnavailableError: not connected, or the server does not respond.
        """
        if self._is_closing:
            raise StoreUnavailableError("the database is closing")
        timeout_s = SLOW_TIMEOUT_S if sql in SLOW else self._timeout_s
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            rows = await self._read(sql, params, deadline)
        except StoreUnavailableError as error:
            self._read_error = error
            raise
        self._read_error = None
        return rows

    async def _read(self, sql: str, params: Params, deadline: float) -> Sequence[Row]:
        for tries in range(1, _MAX_TRIES + 1):
            try:
                return await self._read_once(sql, params, deadline)
            except UnpreparedError:
                self._connections.use_no_prepared()
            except NotCommittedError as error:
                if tries == _MAX_TRIES:
                    raise StoreUnavailableError("PostgreSQL was too busy") from error
        raise StoreUnavailableError("PostgreSQL was too busy")

    async def _read_once(self, sql: str, params: Params, deadline: float) -> Sequence[Row]:
        (*_, step) = self._dialect.read(sql)
        arguments = step.arguments(params)
        try:
            connection = await self._connections.acquire(deadline)
        except DRIVER_ERRORS as error:
            raise unavailable(error) from error
        is_usable = is_canceled = False
        try:
            with ended_at(connection, deadline):
                rows = await connection.fetch(step.sql, *arguments)
            is_usable = True
        except asyncio.CancelledError:
            is_canceled = True
            raise
        except DRIVER_ERRORS as error:
            is_usable = not is_lost(connection, error)
            if is_usable:
                raise store_error(error) from error
            if asyncio.get_running_loop().time() >= deadline:
                self._connections.forget_idle()
                raise unavailable(TimeoutError()) from error
            raise NotCommittedError from error
        finally:
            if is_canceled:
                self._connections.abandon(connection)
            else:
                self._connections.release(connection, is_usable=is_usable)
        return rows

    async def health_error(self) -> StoreUnavailableError | None:
        """Why the database cannot be used at the moment; None when it seems to work.

        The answer is the error of the last write or read, if it failed. At most every
        `PROBE_INTERVAL_S` a probe asks the server first.
        """
        now_s = asyncio.get_running_loop().time()
        is_probing = self._probe is not None and not self._probe.done()
        if not is_probing and now_s - self._probed_at_s >= PROBE_INTERVAL_S:
            self._probed_at_s = now_s
            self._probe = asyncio.create_task(self._ask(), name="store-probe")
        if self._probe is not None:
            await asyncio.wait({self._probe}, timeout=PROBE_TIMEOUT_S)
            if not self._probe.done():
                return self._last_error or unavailable(TimeoutError())
        return self._last_error

    @property
    def _last_error(self) -> StoreUnavailableError | None:
        return self._writer.last_error or self._read_error

    async def _ask(self) -> None:
        try:
            await self.read("SELECT 1")
            if self._writer.last_error is not None:
                await self._writer.write(_lock_nothing)
        except StoreError:
            pass  # `read` or the writer has remembered it

    async def close(self) -> None:
        """Finish the accepted writes, and close all connections. May be called twice."""
        if self._is_closing:
            return
        self._is_closing = True
        await self._writer.close()
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait({self._probe})
        await self._connections.close()


async def _lock_nothing(transaction: object) -> None:
    """A transaction without statements shows that one can be begun and committed."""
