"""Marks a database that `phoenix-compat migrate-store` is filling, so that no server uses it yet.

A server would run the tasks that another server still runs.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.model.errors import StoreOpenError
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.postgres.database import PostgresDatabase
from phoenix_compat.tasks.store.postgres.migrations import IS_UNFINISHED, UNFINISHED
from phoenix_compat.tasks.store.transfer.tables import TABLES

_LOCK: Final = "LOCK TABLE nodes, tasks IN SHARE ROW EXCLUSIVE MODE"
_NODES: Final = "SELECT count(*) FROM nodes WHERE seen_at > clock_timestamp() - interval '1 minute'"


async def begin_filling(database: PostgresDatabase) -> None:
    """Mark a database that is empty, or has the mark already.

    Raises:
        StoreOpenError: it has rows, or servers use it.
        StoreUnavailableError: nothing was written.
    """

    async def work(transaction: Transaction) -> None:
        ((is_marked,),) = await transaction.rows(IS_UNFINISHED)
        if is_marked:
            return
        await transaction.rows(_LOCK)
        ((nodes,),) = await transaction.rows(_NODES)
        if nodes:
            raise StoreOpenError(database.name, f"{nodes} servers use it; stop them first")
        for table in TABLES:
            if await transaction.rows(f"SELECT 1 FROM {table.name} LIMIT 1"):  # noqa: S608 - our own names
                raise StoreOpenError(
                    database.name,
                    f"its table {table.name} has rows that no unfinished migration has written; "
                    "use an empty database",
                )
        await transaction.rows(f"CREATE TABLE {UNFINISHED} (begun_at timestamptz DEFAULT now())")

    await database.write(work)


async def end_filling(database: PostgresDatabase) -> None:
    """Remove the mark: from now on servers may use the database.

    Raises:
        StoreUnavailableError: it may still be there.
    """
    await database.write(lambda transaction: transaction.rows(f"DROP TABLE IF EXISTS {UNFINISHED}"))
