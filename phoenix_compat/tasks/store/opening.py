"""Opens the task store on an engine."""

from __future__ import annotations

from pathlib import Path

from phoenix_compat.extras import require
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.store.sqlite.database import SQLiteDatabase
from phoenix_compat.tasks.store.task_store import TaskStore


async def open_task_store(
    path: Path | str,
    schema_sql: str,
    *,
    clock: Clock | None = None,
    busy_timeout_s: float = 5.0,
) -> TaskStore:
    """Open or create the store in an SQLite file.

    Args:
        path: the database file; its folder is created if it is missing.
        schema_sql: the text of schema.sql.
        busy_timeout_s: how long a statement waits for another process's lock.

    Raises:
        StoreOpenError: the file is damaged, of another version, in use or not writable.
    """
    database = await SQLiteDatabase.open(Path(path), schema_sql, busy_timeout_s=busy_timeout_s)
    return TaskStore(database, clock or SystemClock())


async def open_shared_task_store(
    url: str, schema_sql: str, *, clock: Clock | None = None, timeout_s: float | None = None
) -> TaskStore:
    """Open or create the store in a PostgreSQL database, which other servers may use too.

    Args:
        url: "postgresql://user:password@host:5432/database".
        schema_sql: the text of schema.postgres.sql.
        clock: None for the database's own; see `DatabaseClock`.
        timeout_s: how long a caller waits for the database; None for the usual time.

    Raises:
        MissingExtraError: asyncpg is not installed.
        ConfigError: the URL is not one of PostgreSQL.
        StoreOpenError: it cannot be reached, is of another version, or is being filled.
    """
    require("postgres")
    # ruff: noqa: PLC0415 - a server on SQLite needs none of it
    from phoenix_compat.tasks.store.postgres.clock import DatabaseClock
    from phoenix_compat.tasks.store.postgres.database import TIMEOUT_S, PostgresDatabase

    database = await PostgresDatabase.open(url, schema_sql, timeout_s=timeout_s or TIMEOUT_S)
    if clock is None:
        clock = DatabaseClock()
        await clock.measure(database)
    return TaskStore(database, clock)
