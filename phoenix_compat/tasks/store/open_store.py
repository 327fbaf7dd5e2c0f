"""A store's database: opened, taken over, closed, and how it stands with it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.sqlite.database import Database
from phoenix_compat.tasks.store.sqlite.writer import WriteCounts


class OpenStore:
    """What every store is, whatever it stores.

    Args:
        database: None for a store that another process has open; see `reopen`.
    """

    def __init__(self, database: Database | None, clock: Clock) -> None:
        self._opened = database
        self._clock = clock

    @classmethod
    async def open(
        cls,
        path: Path | str,
        schema_sql: str,
        *,
        clock: Clock | None = None,
        busy_timeout_s: float = 5.0,
    ) -> Self:
        """Open or create the store.

        Args:
            path: the database file; its folder is made when missing.
            schema_sql: the text of schema.sql.

        Raises:
            StoreOpenError: corrupt, of another version, in use or not writable; says which.
        """
        database = await Database.open(Path(path), schema_sql, busy_timeout_s=busy_timeout_s)
        return cls(database, clock or SystemClock())

    async def reopen(
        self, path: Path | str, schema_sql: str, *, busy_timeout_s: float = 5.0
    ) -> None:
        """Open a store that was made without a database: no other process has it now.

        Raises:
            StoreInUseError: one still has.
            StoreOpenError: as of `open`.
        """
        self._opened = await Database.open(Path(path), schema_sql, busy_timeout_s=busy_timeout_s)

    @property
    def _database(self) -> Database:
        if self._opened is None:
            raise StoreUnavailableError("another process has the database")
        return self._opened

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def write_counts(self) -> WriteCounts:
        """How many writes and commits there were since it was opened."""
        return self._database.write_counts

    @property
    def is_open(self) -> bool:
        """Whether this process has the database."""
        return self._opened is not None

    async def trouble(self) -> StoreUnavailableError | None:
        """Why it cannot be used just now; see `Database.trouble`."""
        if self._opened is None:
            return StoreUnavailableError("another process has the database")
        return await self._opened.trouble()

    async def close(self) -> None:
        """Finish the writes in hand, checkpoint, and let the file go."""
        if self._opened is not None:
            await self._opened.close()
