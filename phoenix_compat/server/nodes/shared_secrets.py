"""Secrets that all nodes of a server have. Who can read the database can do everything anyway."""

from __future__ import annotations

import secrets
from typing import Final

from phoenix_compat.redaction import live_secrets
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.statements import key_queries as queries
from phoenix_compat.tasks.store.store import Store

_SECRET_BYTES: Final = 48


async def shared_secret(store: Store, name: str) -> str:
    """The secret with this name; the node that asks for it first makes it.

    Raises:
        StoreUnavailableError: it cannot be read, or made.
    """
    rows = await store.database.read(queries.FIND_SHARED, (name,))
    if not rows:
        values = {"name": name, "value": secrets.token_urlsafe(_SECRET_BYTES)}

        async def work(transaction: Transaction) -> None:
            await transaction.execute(queries.ADD_SHARED, values)

        await store.database.write(work)
        rows = await store.database.read(queries.FIND_SHARED, (name,))
    secret = str(rows[0][0])
    live_secrets.register(secret)
    return secret
