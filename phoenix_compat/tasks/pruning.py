"""Deletes old tasks with their files, and files of clients that no task uses.

A file that a newer task also has stays.

Files are deleted before rows. After a crash in between, the next run still finds the rows, so no
file is left behind for ever.

Where several servers share the files, one may store a file and lose its task before the row names
it. Such orphans are deleted after a day, and only if they are few among the files: many of them
mean that the files belong to another database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from phoenix_compat.tasks.archive.archive import Archive
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.store.upload_store import UploadStore

BATCH_SIZE: Final = 500
"""Tasks that are deleted in one transaction; other writes happen between batches."""
ORPHAN_AGE_S: Final = 25 * 3_600.0
"""Longer than a prediction may run, whose first files are stored before the row names them."""
MAX_ORPHANS: Final = 1_000
"""Orphans that are deleted in one sweep; the next one finds more."""
FEW_ORPHANS: Final = 20
"""So many are deleted in any case; more only if they are at most a tenth of the old files."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What was deleted."""

    tasks: int
    freed_bytes: int


async def prune_uploads(
    uploads: UploadStore, tasks: TaskStore, archive: Archive, before: datetime
) -> int:
    """Delete files of clients that no task uses, and that were last sent or used before a time.

    Returns:
        How many were deleted, of each owner.

    Raises:
        StoreUnavailableError, ArchiveFolderError, FileStoreError: some may be left; call it again.
    """
    deleted = 0
    while batch := await uploads.unused(before, BATCH_SIZE):
        shared = await uploads.still_uploaded(batch, before) | await tasks.output_hashes(batch)
        await archive.discard(batch - shared)
        # A file that somebody has just sent again is still there, and so is its record then.
        left = {sha256 for sha256 in batch - shared if await archive.inputs.find(sha256)}
        forgotten = await uploads.delete_unused(batch - left, before)
        deleted += forgotten
        if forgotten == 0:
            break  # the next run finds those that are left
    if deleted:
        log.info("uploads.pruned", files=deleted)
    return deleted


async def prune_orphans(store: TaskStore, archive: Archive) -> int:
    """Delete old files that no row names; returns the freed bytes.

    Raises:
        StoreUnavailableError, ArchiveFolderError, FileStoreError: call it again.
    """
    orphans: set[str] = set()
    named = 0
    async for batch in archive.files.old_hashes(ORPHAN_AGE_S):
        shared = await store.shared_hashes(batch, ())
        named += len(shared)
        orphans |= batch - shared
        if len(orphans) >= MAX_ORPHANS:
            break
    if len(orphans) > max(FEW_ORPHANS, named // 9):
        log.warning("files.too_many_orphans", orphans=len(orphans), named=named)
        return 0
    freed_bytes = await archive.discard(orphans, ORPHAN_AGE_S)
    if orphans:
        log.info("files.orphans_pruned", files=len(orphans), freed_bytes=freed_bytes)
    return freed_bytes


async def prune_tasks(store: TaskStore, archive: Archive, before: datetime) -> PruneResult:
    """Delete the tasks that ended before a time, and the files that no other task has.

    Raises:
        StoreUnavailableError, ArchiveFolderError, FileStoreError: some may be left; call it again.
    """
    tasks = freed_bytes = 0
    while batch := await store.ended_before(before, BATCH_SIZE):
        hashes = frozenset[str]().union(*batch.values())
        unshared = hashes - await store.shared_hashes(hashes, batch) if hashes else hashes
        freed_bytes += await archive.discard(unshared)
        deleted = await store.delete_ended(batch, before)
        tasks += deleted
        if deleted == 0:
            break  # all of them were retried meanwhile; another round would find the same
    if tasks:
        log.info("tasks.pruned", tasks=tasks, freed_bytes=freed_bytes)
    return PruneResult(tasks, freed_bytes)
