"""Reads all tables of an SQLite file as of one moment, while a server may be using it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from phoenix_compat.tasks.model.errors import StoreVersionError
from phoenix_compat.tasks.store.sqlite.database_copy import open_read_only
from phoenix_compat.tasks.store.sqlite.database_file import version_advice, version_of
from phoenix_compat.tasks.store.transfer.tables import Table

T = TypeVar("T")

MAX_ROWS: Final = 200
"""The most rows of a batch."""
MAX_CHARS: Final = 4_000_000
"""A batch ends with the row with which its texts have so many characters."""


class Snapshot:
    """An open read transaction, in a thread of its own."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    async def batches(self, table: Table) -> AsyncIterator[Sequence[sqlite3.Row]]:
        """The rows of a table in the order of their keys."""
        key = ", ".join(table.key)
        cursor = await self._run(
            lambda: self._connection.execute(f"SELECT * FROM {table.name} ORDER BY {key}")  # noqa: S608 - our own names
        )
        while rows := await self._run(lambda: _next_rows(cursor)):
            yield rows

    async def last_number(self, table: Table) -> int:
        """The highest number that a row ever had; 0 if there was none."""
        found = await self._run(
            lambda: self._connection.execute(
                f"SELECT max(coalesce((SELECT max(number) FROM {table.name}), 0),"  # noqa: S608 - our own names
                " coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), 0))",
                (table.name,),
            ).fetchone()
        )
        return int(found[0])

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


@asynccontextmanager
async def open_snapshot(database: Path, schema_sql: str) -> AsyncIterator[Snapshot]:
    """Open a database as of now.

    Raises:
        StoreVersionError: its schema is not that of this program.
        StoreOpenError: it is missing, or cannot be read.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
    loop = asyncio.get_running_loop()
    opened = contextlib.ExitStack()
    try:
        connection = await loop.run_in_executor(
            thread, lambda: _begin(opened, database, schema_sql)
        )
        yield Snapshot(connection, thread)
    finally:
        await loop.run_in_executor(thread, opened.close)
        thread.shutdown(wait=False)


def _begin(opened: contextlib.ExitStack, database: Path, schema_sql: str) -> sqlite3.Connection:
    connection = opened.enter_context(open_read_only(database))
    connection.execute("BEGIN")
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    wanted = version_of(schema_sql)
    if found != wanted:
        advice = "run `phoenix-compat upgrade` first"
        raise StoreVersionError(
            database, advice if 0 < found < wanted else version_advice(found, wanted)
        )
    return connection


def _next_rows(cursor: sqlite3.Cursor) -> list[sqlite3.Row]:
    rows: list[sqlite3.Row] = []
    chars = 0
    for row in cursor:
        rows.append(row)
        chars += sum(len(value) for value in row if isinstance(value, str))
        if len(rows) == MAX_ROWS or chars >= MAX_CHARS:
            break
    return rows
