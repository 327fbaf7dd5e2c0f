"""Moves the store from an SQLite file to PostgreSQL: everything, verified, while a server runs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from phoenix_compat.extras import require
from phoenix_compat.private_files import fsync_path
from phoenix_compat.server.engine import schema_sql
from phoenix_compat.tasks.model.errors import StoreInUseError, StoreOpenError
from phoenix_compat.tasks.store.sqlite.database_file import lock_file
from phoenix_compat.tasks.store.transfer.snapshot import open_snapshot
from phoenix_compat.tasks.store.transfer.store_copy import Contents, Copied, StoreCopy
from phoenix_compat.tasks.store.transfer.tables import TABLES, Table

MIGRATED: Final = ".migrated"
"""What is added to the name of a file whose tasks are in PostgreSQL."""
_POSTGRES_SCHEMA: Final = "schema.postgres.sql"
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class MigratedTable:
    """What became of a table.

    Attributes:
        source: what the file contains, without the rows left out.
        target: what PostgreSQL contains.
    """

    table: Table
    copied: Copied
    source: Contents
    target: Contents

    @property
    def is_same(self) -> bool:
        """Whether both have the same rows."""
        return self.source == self.target


@dataclass(frozen=True, slots=True)
class Migration:
    """What a run did.

    Attributes:
        left_out: a text about each row that PostgreSQL cannot store.
        kept_as: the new name of the file, if the migration is finished.
    """

    tables: Sequence[MigratedTable]
    left_out: Sequence[str]
    kept_as: Path | None

    @property
    def is_verified(self) -> bool:
        """Whether both stores have the same rows, in all tables."""
        return all(one.is_same for one in self.tables)


async def migrate_store(
    database: Path,
    url: str,
    *,
    is_final: bool,
    may_leave_out: bool = False,
    on_table: Callable[[MigratedTable], None] = lambda _table: None,
) -> Migration:
    """Copy a file's rows to PostgreSQL, and compare the two.

    It may be repeated, also after it was interrupted: it writes what is missing or has changed.
    Until the final run, no server uses the database.

    Args:
        url: of the database; it is empty, or an earlier run has filled it.
        is_final: whether servers may use the database afterwards. The file gets another name, so
            that no server runs its tasks again.
        may_leave_out: finish although rows cannot be copied.
        on_table: called with each table that is done.

    Raises:
        MissingExtraError: asyncpg is not installed.
        ConfigError: the URL is not one of PostgreSQL.
        StoreInUseError: for the final run, a server uses the file.
        StoreOpenError: one of the two cannot be used; the text says why.
        CopyError: too many rows cannot be copied.
        StoreUnavailableError: PostgreSQL became unavailable; repeat it.
    """
    require("postgres")
    # ruff: noqa: PLC0415 - most installations have no asyncpg
    from phoenix_compat.tasks.store.postgres.database import PostgresDatabase
    from phoenix_compat.tasks.store.postgres.filling import begin_filling, end_filling

    async with AsyncExitStack() as opened:
        file, renamed = database, database.with_name(database.name + MIGRATED)
        has_file, has_renamed = [await asyncio.to_thread(one.exists) for one in (database, renamed)]
        if has_file and has_renamed:
            raise StoreOpenError(
                database,
                f"{renamed.name} beside it was moved by an earlier final run; a server has perhaps "
                "begun anew since; move away the one that is not wanted",
            )
        if is_final:
            opened.enter_context(await asyncio.to_thread(_locked, database))
            if has_renamed:
                file = renamed  # that run was interrupted at its end
        schemas = [
            await asyncio.to_thread(schema_sql, name) for name in ("schema.sql", _POSTGRES_SCHEMA)
        ]
        async with open_snapshot(file, schemas[0]) as snapshot:
            target = await opened.enter_async_context(
                await PostgresDatabase.open(
                    url, schemas[1], timeout_s=_TIMEOUT_S, may_be_unfinished=True
                )
            )
            await begin_filling(target)
            copy = StoreCopy(snapshot, target)
            migration = await _copied(copy, on_table)
        may_end = may_leave_out or not migration.left_out
        if not is_final or not migration.is_verified or not may_end:
            return migration
        await asyncio.to_thread(_set_aside, file, renamed)
        await end_filling(target)
        return replace(migration, kept_as=renamed)


async def _copied(copy: StoreCopy, on_table: Callable[[MigratedTable], None]) -> Migration:
    copied = {table.name: await copy.copy(table) for table in TABLES}
    tables = []
    for table in TABLES:
        source, found = await copy.contents(table)
        tables.append(MigratedTable(table, copied[table.name], source, found))
        on_table(tables[-1])
    return Migration(tables, tuple(copy.left_out.problems), None)


def _locked(database: Path) -> IO[bytes]:
    try:
        return lock_file(database, create=False)
    except StoreInUseError as error:
        raise StoreInUseError(database, "a server uses it; stop it for the final run") from error


def _set_aside(file: Path, renamed: Path) -> None:
    """Give the file another name, after everything of its WAL is in it."""
    if file == renamed:
        return
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        file.replace(renamed)
    except (sqlite3.Error, OSError) as error:
        raise StoreOpenError(file, f"{error}; rename it to {renamed.name} by hand") from error
    fsync_path(renamed.parent)
