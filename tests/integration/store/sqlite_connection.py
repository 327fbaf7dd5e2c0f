"""Works that use a connection of SQLite itself, for tests about SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.sqlite.transaction import SQLiteTransaction

T = TypeVar("T")


def on_connection(
    call: Callable[[sqlite3.Connection], T],
) -> Callable[[Transaction], Coroutine[Any, Any, T]]:
    """A work that calls this with the connection that writes."""

    async def work(transaction: Transaction) -> T:
        assert isinstance(transaction, SQLiteTransaction)
        return call(transaction.connection)

    return work
