"""The engines that the contract suite runs on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.store.database import Database, Params
from phoenix_compat.tasks.store.postgres.database import PostgresDatabase
from phoenix_compat.tasks.store.sqlite.database import SQLiteDatabase
from phoenix_compat.tasks.store.store import Store
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.worker_harness import SCHEMA
from tests.patience import patient

POSTGRES_SCHEMA: Final = (
    Path(__file__).parents[3].joinpath("schema.postgres.sql").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Engine:
    """An engine, and a database of its for one test.

    Attributes:
        is_shared: whether the database can be open several times.
        open_database: opens it, and creates it at the first time.
    """

    name: str
    is_shared: bool
    open_database: Callable[[], Awaitable[Database]]

    async def open_store(self, clock: Clock | None = None) -> TaskStore:
        """Open a task store in the database."""
        return TaskStore(await self.open_database(), clock or SystemClock())


def sqlite_engine(folder: Path) -> Engine:
    """SQLite, with a file in a folder that may be missing."""
    path = folder / "data" / "tasks.db"
    return Engine("sqlite", False, lambda: SQLiteDatabase.open(path, SCHEMA, busy_timeout_s=0.05))


def postgres_engine(url: str) -> Engine:
    """PostgreSQL, with a database that is empty at first."""

    async def open_database() -> Database:
        return await PostgresDatabase.open(url, POSTGRES_SCHEMA, timeout_s=patient(5.0))

    return Engine("postgres", True, open_database)


async def execute(store: Store, sql: str, params: Params = ()) -> int:
    """Change rows beside the stores' own methods; returns how many."""
    return await store.database.write(lambda transaction: transaction.execute(sql, params))
