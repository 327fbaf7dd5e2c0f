"""Opens the database that the settings name: a file, or one that several servers share."""

from __future__ import annotations

import asyncio
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from phoenix_compat.errors import ConfigError
from phoenix_compat.extras import Extra, is_installed, missing_extra
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.nodes import NATS_SCHEMES, REDIS_SCHEMES
from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.store.database import Database
from phoenix_compat.tasks.store.sqlite.database import SQLiteDatabase
from phoenix_compat.tasks.store.task_store import TaskStore

SHARED_SCHEMA: Final = "schema.postgres.sql"

# ruff: noqa: PLC0415 - a server on SQLite imports nothing of PostgreSQL


def make_clock(settings: Settings) -> Clock:
    """The clock of the store: that of a shared database, which `open_database` asks first."""
    if not settings.is_shared:
        return SystemClock()
    from phoenix_compat.tasks.store.postgres.clock import DatabaseClock

    return DatabaseClock()


async def open_database(settings: Settings, clock: Clock) -> Database:
    """Open the database.

    Args:
        clock: what `make_clock` returned.

    Raises:
        MissingExtraError: its driver is not installed.
        StoreOpenError: it cannot be opened; the text says why.
    """
    if settings.database_url is None:
        return await SQLiteDatabase.open(
            settings.database_path, await asyncio.to_thread(schema_sql)
        )
    from phoenix_compat.tasks.store.postgres.clock import DatabaseClock
    from phoenix_compat.tasks.store.postgres.database import PostgresDatabase

    schema = await asyncio.to_thread(schema_sql, SHARED_SCHEMA)
    url = settings.database_url.get_secret_value()
    database = await PostgresDatabase.open(url, schema)
    if isinstance(clock, DatabaseClock):
        await clock.measure(database)
    return database


def bus_url_of(settings: Settings) -> str:
    """The URL of the bus: that of the setting, or the database.

    Raises:
        ConfigError: there is neither.
    """
    url = settings.bus_url or settings.database_url
    if url is None:
        raise ConfigError("a bus needs bus_url or database_url")
    return url.get_secret_value()


def check_drivers(settings: Settings) -> None:
    """Check that what these settings name is installed.

    Raises:
        ConfigError: it is not; the text says how to install it.
    """
    if settings.database_url is None:
        return
    needed: dict[str, Extra] = {"database_url": "postgres"}
    scheme = urlsplit(bus_url_of(settings)).scheme
    if scheme in REDIS_SCHEMES:
        needed["bus_url"] = "redis"
    elif scheme in NATS_SCHEMES:
        needed["bus_url"] = "nats"
    for name, extra in needed.items():
        if not is_installed(extra):
            raise ConfigError(f"{name}: {missing_extra(extra)}")


async def open_store(settings: Settings) -> TaskStore:
    """Open the task store for a command. Raises as `open_database`."""
    clock = make_clock(settings)
    return TaskStore(await open_database(settings, clock), clock)


def schema_sql(name: str = "schema.sql") -> str:
    """The text of a schema: inside the installed package, or next to it in a checkout.

    Args:
        name: "schema.sql", or SHARED_SCHEMA.
    """
    packaged = resources.files("phoenix_compat") / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
