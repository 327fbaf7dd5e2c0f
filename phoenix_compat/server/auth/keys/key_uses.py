"""Records when API keys were last used, without making a request wait for the disk."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

import structlog

from phoenix_compat.background import BackgroundTask
from phoenix_compat.tasks.model.clock import Clock, stored_time
from phoenix_compat.tasks.model.errors import StoreError
from phoenix_compat.tasks.store.database import Transaction
from phoenix_compat.tasks.store.statements import key_queries as queries
from phoenix_compat.tasks.store.store import Store

WRITE_INTERVAL_S: Final = 60.0

log = structlog.stdlib.get_logger(__name__)


class KeyUses:
    """Uses that are not written yet: at most one for each key.

    The first use is written at once. Then at most one write in `interval_s` has the uses of all
    keys since. A process that is killed loses those.

    Attributes:
        background: the task that writes.
        writes: how many writes there were.
    """

    def __init__(self, store: Store, clock: Clock, *, interval_s: float = WRITE_INTERVAL_S) -> None:
        self._store = store
        self._clock = clock
        self._interval_s = interval_s
        self._waiting: dict[str, datetime] = {}
        self._was_used = asyncio.Event()
        self.writes = 0
        self.background = BackgroundTask("key-uses", self._run)

    def start(self) -> None:
        """Begin to write."""
        self.background.start()

    async def stop(self) -> None:
        """Write what is waiting, and stop."""
        await self.background.stop()
        await self._write()

    def record(self, name: str) -> None:
        """A key that is not revoked is being used now."""
        self._waiting[name] = self._clock.now()
        self._was_used.set()

    def waiting(self, name: str) -> str | None:
        """The last use of a key if it is not written yet."""
        at = self._waiting.get(name)
        return None if at is None else stored_time(at)

    async def _run(self) -> None:
        while True:
            await self._was_used.wait()
            await self._write()
            await asyncio.sleep(self._interval_s)

    async def _write(self) -> None:
        self._was_used.clear()
        if not self._waiting:
            return
        uses, self._waiting = self._waiting, {}
        rows = [{"name": name, "at": stored_time(at)} for name, at in uses.items()]

        async def work(transaction: Transaction) -> None:
            for row in rows:
                await transaction.execute(queries.RECORD_USE, row)

        try:
            await self._store.database.write(work)
            self.writes += 1
        except StoreError as error:
            log.warning("key.use_not_written", reason=str(error))
            self._waiting = uses | self._waiting
            self._was_used.set()
