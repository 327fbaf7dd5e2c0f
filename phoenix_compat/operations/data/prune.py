"""Deletes old tasks by hand, while no server is running."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from phoenix_compat.operations.data.stored_files import archive_of
from phoenix_compat.server.engine import schema_sql
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.clock import stored_time
from phoenix_compat.tasks.model.errors import StoreInUseError
from phoenix_compat.tasks.pruning import PruneResult, prune_tasks
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.sqlite.database_copy import open_read_only
from phoenix_compat.tasks.store.statements.queries import COUNT_ENDED_BEFORE


def count_old(database: Path, before: datetime) -> int:
    """Count the tasks that ended before a time. Blocking; a server may be running.

    Raises:
        StoreOpenError: there is no database, or it cannot be read.
    """
    with open_read_only(database) as connection:
        tomorrow = stored_time(datetime.now(UTC) + timedelta(days=1))
        params = {"before": stored_time(before), "tomorrow": tomorrow}
        return int(connection.execute(COUNT_ENDED_BEFORE, params).fetchone()[0])


async def prune_now(settings: Settings, before: datetime) -> PruneResult:
    """Delete the tasks that ended before a time, and their files.

    Raises:
        StoreInUseError: a server is running.
        StoreOpenError: there is no database, or it cannot be used.
    """
    # Fail if there is no database, instead of creating one.
    await asyncio.to_thread(count_old, settings.database_path, before)
    try:
        store = await open_task_store(settings.database_path, await asyncio.to_thread(schema_sql))
    except StoreInUseError as error:
        reason = (
            "a server uses it; stop the server, or set keep_tasks_s so that it prunes by itself"
        )
        raise StoreInUseError(settings.database_path, reason) from error
    async with store:
        archive = archive_of(settings)
        await archive.open()
        try:
            return await prune_tasks(store, archive, before)
        finally:
            await archive.close()
