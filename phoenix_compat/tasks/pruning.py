"""Old tasks go, with their files. A file that a younger task has too stays.

Files go before rows: after a crash in between the next round finds the rows, and nothing is left
that nobody would ever delete.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.store.task_store import TaskStore

BATCH: Final = 500
"""So many tasks share a transaction; others write in between."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went."""

    tasks: int
    freed_bytes: int


async def prune_tasks(store: TaskStore, archive: Archive, before: datetime) -> Pruned:
    """Delete the tasks that ended before a time, and the files that only they have.

    Raises:
        StoreUnavailableError, ArchiveFolderError: the rest stays, and can be pruned again.
    """
    tasks = freed_bytes = 0
    while batch := await store.ended_before(before, BATCH):
        hashes = frozenset[str]().union(*batch.values())
        alone = hashes - await store.kept_elsewhere(hashes, batch) if hashes else hashes
        freed_bytes += await archive.discard(alone)
        forgotten = await store.forget(batch, before)
        tasks += forgotten
        if forgotten == 0:
            break  # they are made again meanwhile; the same would be found for ever
    if tasks:
        log.info("tasks.pruned", tasks=tasks, freed_bytes=freed_bytes)
    return Pruned(tasks, freed_bytes)
