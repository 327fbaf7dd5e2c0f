"""Runs a work on a connection of SQLite, in the thread that has the connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from phoenix_compat.tasks.model.errors import UniqueError
from phoenix_compat.tasks.store.database import Params, Work

T = TypeVar("T")

_NOT_UNIQUE: Final = frozenset(
    {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
)


class SQLiteTransaction:
    """See `database.Transaction`. Its methods never wait: their results are there at once.

    Attributes:
        connection: for statements that only SQLite has.
        is_shared: never.
    """

    __slots__ = ("connection",)

    is_shared = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    async def rows(self, sql: str, params: Params = ()) -> list[sqlite3.Row]:
        """See `database.Transaction`."""
        try:
            return self.connection.execute(sql, params).fetchall()
        except sqlite3.IntegrityError as error:
            raise _refused(error) from error

    async def execute(self, sql: str, params: Params = ()) -> int:
        """See `database.Transaction`."""
        try:
            return self.connection.execute(sql, params).rowcount
        except sqlite3.IntegrityError as error:
            raise _refused(error) from error

    async def insert(self, sql: str, params: Params = ()) -> int:
        """See `database.Transaction`."""
        try:
            return self.connection.execute(sql, params).lastrowid or 0
        except sqlite3.IntegrityError as error:
            raise _refused(error) from error

    async def later(
        self,
        sql: str,
        params: Mapping[str, object],
        summed: Sequence[str] = (),
    ) -> None:
        """See `database.Transaction`."""
        await self.execute(sql, params)


def run(work: Work[T], transaction: SQLiteTransaction) -> T:
    """Run a work to its end, without an event loop.

    Raises:
        RuntimeError: it awaits something else than its transaction.
        Exception: whatever the work raised.
    """
    coroutine = work(transaction)
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a write may await nothing but the statements of its transaction")


def _refused(error: sqlite3.IntegrityError) -> Exception:
    if error.sqlite_errorcode in _NOT_UNIQUE:
        return UniqueError(f"the database has such a row already: {error}")
    return error
