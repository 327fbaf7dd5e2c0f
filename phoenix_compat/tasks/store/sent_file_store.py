"""Remembers which files were sent to the provider, and by which addresses it knows them.

An address is remembered for a day longer than the provider has the file, because it shows which
prediction belongs to a create whose answer was lost.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from phoenix_compat.tasks.model.clock import Clock, SystemClock, stored_time
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.statements import upload_queries
from phoenix_compat.tasks.store.store import Store

REMEMBERED: Final = timedelta(days=1)
"""How long an expired address is remembered."""


class SentFileStore:
    """The copies of files at the provider.

    Args:
        store: any store with the database.
    """

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()

    async def latest(self, sha256: str, valid_at: datetime) -> str | None:
        """The address of the newest copy that is valid at a time; None if there is none."""
        params = {"sha256": sha256, "valid_at": stored_time(valid_at)}
        rows = await self._store.database.read(upload_queries.LATEST_SENT, params)
        return str(rows[0]["url"]) if rows else None

    async def add(self, sha256: str, url: str, expires_at: datetime) -> None:
        """Remember a copy, and forget old ones.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        now = self._clock.now()
        values = {
            "sha256": sha256,
            "url": url,
            "now": stored_time(now),
            "expires_at": stored_time(expires_at),
            "before": stored_time(now - REMEMBERED),
        }

        async def work(transaction: Transaction) -> None:
            await transaction.execute(upload_queries.FORGET_SENT, values)
            await transaction.execute(upload_queries.ADD_SENT, values)

        await self._store.database.write(work)

    async def hashes_of(self, urls: Collection[str]) -> Mapping[str, str]:
        """Address -> sha256 of the file, for those of these that are copies."""
        params = {"urls": json.dumps(sorted(urls))}
        rows = await self._store.database.read(upload_queries.HASHES_OF_SENT, params)
        return {str(row["url"]): str(row["sha256"]) for row in rows}
