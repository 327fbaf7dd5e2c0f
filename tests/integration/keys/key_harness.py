"""A key store on a database of its own, and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.engine import schema_sql
from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore

SCHEMA = schema_sql()
START = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)


class StandingClock(SystemClock):
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        """The time, which is the same until `advance`."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on."""
        self._now += timedelta(seconds=seconds)


@asynccontextmanager
async def open_store(folder: Path) -> AsyncIterator[TaskStore]:
    """The task store in this folder."""
    async with await open_task_store(folder / "tasks.sqlite3", SCHEMA) as store:
        yield store


@asynccontextmanager
async def open_keys(
    folder: Path,
    when_revoked: Callable[[str], None] = lambda _name: None,
    *,
    clock: SystemClock | None = None,
    repeat_s: float = 60.0,
) -> AsyncIterator[KeyStore]:
    """The keys in the database of this folder."""
    async with open_store(folder) as store:
        keys = KeyStore(store, when_revoked, clock=clock, repeat_s=repeat_s)
        await keys.start()
        try:
            yield keys
        finally:
            await keys.stop()


def contents(folder: Path) -> bytes:
    """All files in a folder, one after the other."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())
