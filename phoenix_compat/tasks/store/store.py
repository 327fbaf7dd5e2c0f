"""Closes a store's database, and reports its health. Subclasses store things in it."""

from __future__ import annotations

from typing import Self

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.database import Database, WriteCounts


class Store:
    """A store in a database of any engine.

    Args:
        database: None while another process has the database open; see `reopen`.
    """

    def __init__(self, database: Database | None, clock: Clock) -> None:
        self._open_database = database
        self._clock = clock

    def reopen(self, database: Database) -> None:
        """Use this database in a store that was made without one."""
        self._open_database = database

    @property
    def clock(self) -> Clock:
        """The clock whose times are stored; that of a shared database is the same for all nodes."""
        return self._clock

    @property
    def database(self) -> Database:
        """The open database, for stores of further tables in the same database.

        Raises:
            StoreUnavailableError: another process has it open.
        """
        if self._open_database is None:
            raise StoreUnavailableError("another process has the database open")
        return self._open_database

    @property
    def _database(self) -> Database:
        return self.database

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def write_counts(self) -> WriteCounts:
        """Counts of writes and commits since the database was opened."""
        return self._database.write_counts

    @property
    def waiting_writes(self) -> int:
        """How many writes wait for the next commit."""
        return self._database.waiting_writes

    @property
    def is_open(self) -> bool:
        """Whether this process has the database open."""
        return self._open_database is not None

    async def health_error(self) -> StoreUnavailableError | None:
        """Why the store cannot be used at the moment; see `Database.health_error`."""
        if self._open_database is None:
            return StoreUnavailableError("another process has the database open")
        return await self._open_database.health_error()

    async def close(self) -> None:
        """Finish the writes that were accepted, and close the database."""
        if self._open_database is not None:
            await self._open_database.close()
