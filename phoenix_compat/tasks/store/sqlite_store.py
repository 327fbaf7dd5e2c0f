"""Opens and closes a store's database, and reports its health. Subclasses store things in it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from phoenix_compat.tasks.model.clock import Clock, SystemClock
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.sqlite.database import Database
from phoenix_compat.tasks.store.sqlite.writer import WriteCounts


class SQLiteStore:
    """A store in an SQLite database.

    Args:
        database: None while another process has the database open; see `reopen`.
    """

    def __init__(self, database: Database | None, clock: Clock) -> None:
        self._open_database = database
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
            path: the database file; its folder is created if it is missing.
            schema_sql: the text of schema.sql.

        Raises:
            StoreOpenError: the file is damaged, of another version, in use or not writable.
        """
        database = await Database.open(Path(path), schema_sql, busy_timeout_s=busy_timeout_s)
        return cls(database, clock or SystemClock())

    async def reopen(
        self, path: Path | str, schema_sql: str, *, busy_timeout_s: float = 5.0
    ) -> None:
        """Open the database of a store that was made without one.

        Raises:
            StoreInUseError: another process still uses it.
            StoreOpenError: as for `open`.
        """
        self._open_database = await Database.open(
            Path(path), schema_sql, busy_timeout_s=busy_timeout_s
        )

    @property
    def database(self) -> Database:
        """The open database, for stores of further tables in the same file.

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
        """Finish the writes that were accepted, checkpoint, and close the file."""
        if self._open_database is not None:
            await self._open_database.close()
