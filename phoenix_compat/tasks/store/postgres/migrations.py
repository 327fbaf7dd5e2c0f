"""Creates the tables of an empty database, and migrates those of an older version.

Servers that start at the same time wait for each other. A server that is older than the schema does
not start; one that runs goes on, because each step only adds (see schema.postgres.sql).
"""

from __future__ import annotations

import re
from typing import Final

import asyncpg

from phoenix_compat.tasks.model.errors import StoreOpenError, StoreVersionError
from phoenix_compat.tasks.store.postgres.connections import Connection
from phoenix_compat.tasks.store.postgres.errors import reason

FIRST_SERVER_VERSION: Final = 150_000
_LOCK: Final = 7_364_891_205
"""Of PostgreSQL's advisory locks the one for the schema; any number that is the same in all."""
_LOCK_WAIT: Final = "30s"

STEPS: Final[dict[int, str]] = {}
"""Schema version of a database -> the SQL that migrates it to the next version.

Version 7 is the first one on PostgreSQL.
"""

UNFINISHED: Final = "unfinished_migration"
"""A table of this name marks a database that is being filled; see `filling`."""
IS_UNFINISHED: Final = f"SELECT to_regclass('{UNFINISHED}') IS NOT NULL"

_VERSION: Final = re.compile(r"INSERT INTO schema_version \(version\) VALUES \((\d+)\)")
_TABLES: Final = """
SELECT coalesce(bool_or(relname = 'schema_version'), false) AS has_version,
       coalesce(bool_or(relname = 'tasks'), false) AS has_tasks
FROM pg_catalog.pg_class
WHERE relname IN ('schema_version', 'tasks') AND pg_table_is_visible(pg_class.oid)
"""


def version_of(schema_sql: str) -> int:
    """The version that a schema sets."""
    found = _VERSION.search(schema_sql)
    if found is None:
        raise ValueError("the schema sets no version")
    return int(found[1])


async def check_database(connection: Connection, name: str, schema_sql: str) -> None:
    """Create or migrate the tables, or find that there is nothing to do.

    Args:
        name: of the database, for errors.
        schema_sql: the text of schema.postgres.sql.

    Raises:
        StoreOpenError: the text gives the reason; the database was not changed.
    """
    number = int(await connection.fetchval("SHOW server_version_num"))
    if number < FIRST_SERVER_VERSION:
        raise StoreOpenError(name, f"PostgreSQL {number // 10_000} is too old; use 15 or later")
    if await connection.fetchval("SHOW server_encoding") != "UTF8":
        raise StoreOpenError(name, "its encoding is not UTF8; create it with ENCODING 'UTF8'")
    wanted = version_of(schema_sql)
    if await _version(connection, name) == wanted:
        return
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            await _migrate(connection, name, schema_sql, wanted)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StoreOpenError(
            name, "its user may not create tables: GRANT CREATE ON SCHEMA public TO this user"
        ) from error
    except asyncpg.LockNotAvailableError as error:
        raise StoreOpenError(
            name, f"another server has been changing the schema for {_LOCK_WAIT}; try again"
        ) from error
    except asyncpg.PostgresError as error:
        raise StoreOpenError(name, f"its schema cannot be changed: {reason(error)}") from error


async def check_finished(connection: Connection, name: str) -> None:
    """Refuse a database that is being filled: its tasks still run elsewhere.

    Raises:
        StoreOpenError: it is.
    """
    if await connection.fetchval(IS_UNFINISHED):
        raise StoreOpenError(
            name,
            "the tasks of a file are being copied into it; finish that with "
            "`phoenix-compat migrate-store --final`",
        )


async def _migrate(connection: Connection, name: str, schema_sql: str, wanted: int) -> None:
    version = await _version(connection, name)
    if version is None:
        await connection.execute(schema_sql)
        return
    if version > wanted:
        raise StoreVersionError(
            name,
            f"its schema is version {version}, newer than the {wanted} this program knows; "
            "start the version of this program that the other servers have",
        )
    while version < wanted:
        await connection.execute(STEPS[version])
        version += 1
    await connection.execute("UPDATE schema_version SET version = $1", version)


async def _version(connection: Connection, name: str) -> int | None:
    """The version of the schema; None if the database is empty."""
    (row,) = await connection.fetch(_TABLES)
    if not row["has_version"]:
        if row["has_tasks"]:
            raise StoreVersionError(
                name, "another program has a table `tasks` there; use a database of its own"
            )
        return None
    return int(await connection.fetchval("SELECT max(version) FROM schema_version"))
