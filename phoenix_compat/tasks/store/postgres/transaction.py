"""The statements of one write, on a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from phoenix_compat.tasks.store.database import Params, Row
from phoenix_compat.tasks.store.postgres.connections import Connection
from phoenix_compat.tasks.store.postgres.dialect import Dialect, Step
from phoenix_compat.tasks.store.postgres.errors import (
    DRIVER_ERRORS,
    NotCommittedError,
    is_lost,
    store_error,
)


class Deferred:
    """Statements that are run before a commit, all that are alike in one round trip."""

    __slots__ = ("_added",)

    def __init__(self) -> None:
        self._added: list[tuple[str, Mapping[str, object], Sequence[str]]] = []

    def add(self, sql: str, params: Mapping[str, object], summed: Sequence[str] = ()) -> None:
        """Put a statement off; see `Transaction.later`."""
        self._added.append((sql, params, summed))

    def take(self, other: Deferred) -> None:
        """Put off what another one has put off."""
        self._added += other._added

    async def run(self, connection: Connection, dialect: Dialect) -> None:
        """Run them, in the order in which their texts came first."""
        for sql, rows in self._grouped().items():
            *before, step = dialect.write(sql)
            if before:
                for row in rows:
                    await run_steps(connection, before, row)
                    await connection.execute(step.sql, *step.arguments(row))
            elif len(rows) == 1:
                await connection.execute(step.sql, *step.arguments(rows[0]))
            else:
                await connection.executemany(step.sql, [step.arguments(row) for row in rows])

    def _grouped(self) -> dict[str, list[dict[str, Any]]]:
        grouped: dict[str, list[dict[str, Any]]] = {}
        sums: dict[tuple[object, ...], dict[str, Any]] = {}
        for sql, params, summed in self._added:
            row: dict[str, Any] = dict(params)
            if summed:
                key = (sql, *(value for name, value in row.items() if name not in summed))
                first = sums.setdefault(key, row)
                if first is not row:
                    for name in summed:
                        first[name] += row[name]
                    continue
            grouped.setdefault(sql, []).append(row)
        return grouped


class PostgresTransaction:
    """The statements of one write; see `Transaction`.

    Attributes:
        is_shared: always; other servers write at the same time.
        has_written: whether a statement may have changed something.
        deferred: what is to be run before the commit.
    """

    __slots__ = ("_connection", "_dialect", "deferred", "has_written")

    is_shared: Final = True

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self.has_written = False
        self.deferred = Deferred()

    async def rows(self, sql: str, params: Params = ()) -> Sequence[Row]:
        """Run a statement that returns rows."""
        steps = self._dialect.write(sql)
        try:
            await run_steps(self._connection, steps[:-1], params)
            step = steps[-1]
            self.has_written = self.has_written or not step.is_query
            return await self._connection.fetch(step.sql, *step.arguments(params))
        except DRIVER_ERRORS as error:
            raise self._error(error) from error

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement that changes rows; returns how many."""
        steps = self._dialect.write(sql)
        try:
            await run_steps(self._connection, steps[:-1], params)
            step = steps[-1]
            status = await self._connection.execute(step.sql, *step.arguments(params))
        except DRIVER_ERRORS as error:
            raise self._error(error) from error
        changed = int(status.rpartition(" ")[2])
        self.has_written = self.has_written or changed > 0
        return changed

    async def insert(self, sql: str, params: Params = ()) -> int:
        """Add a row, and return the `number` that it got; its text has RETURNING here."""
        ((number,),) = await self.rows(sql, params)
        return int(number)

    async def later(
        self, sql: str, params: Mapping[str, object], summed: Sequence[str] = ()
    ) -> None:
        """Change rows before the commit."""
        self.deferred.add(sql, params, summed)

    async def flush(self) -> None:
        """Run what was put off."""
        try:
            await self.deferred.run(self._connection, self._dialect)
        except DRIVER_ERRORS as error:
            raise self._error(error) from error

    def _error(self, error: BaseException) -> Exception:
        # A statement that failed has ended the transaction, whatever the work makes of it.
        self.has_written = True
        lost = is_lost(self._connection, error)
        return NotCommittedError() if lost else store_error(error)


async def run_steps(connection: Connection, steps: Sequence[Step], params: Params) -> None:
    """Run the statements before the one that counts; see `dialect.TEXTS`."""
    for step in steps:
        await connection.fetch(step.sql, *step.arguments(params))
