"""Exports tasks from the database that several servers share, and imports them into it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from phoenix_compat.server.database import open_store
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.store.transfer.line_rows import FindFile
from phoenix_compat.tasks.store.transfer.shared_lines import export_shared, import_shared
from phoenix_compat.tasks.store.transfer.task_lines import ImportResult


async def export_tasks(
    settings: Settings, write: Callable[[bytes], object], on_skipped: Callable[[str], None]
) -> int:
    """Write every task as a line; returns how many.

    Raises:
        StoreOpenError: the database cannot be used.
        StoreUnavailableError: it became unavailable.
    """
    count = 0
    async with await open_store(settings) as store:
        async for line in export_shared(store.database, on_skipped):
            await asyncio.to_thread(write, line)
            count += 1
    return count


async def import_tasks(
    settings: Settings,
    read_lines: Callable[[], Iterable[bytes]],
    *,
    with_unfinished: bool,
    find_file: FindFile,
) -> ImportResult:
    """Add the tasks of an export; see `import_shared`.

    Raises:
        TransferError: a line is invalid, or conflicts with what is stored.
        StoreOpenError: the database cannot be used.
        StoreUnavailableError: it became unavailable; repeat the import.
    """
    async with await open_store(settings) as store:
        return await import_shared(
            store.database, read_lines, with_unfinished=with_unfinished, find_file=find_file
        )


@contextmanager
def repeatable(source: BinaryIO) -> Iterator[Callable[[], Iterable[bytes]]]:
    """The lines of a file, as often as they are wanted; those of a pipe are kept in a file."""
    with tempfile.TemporaryFile() as kept:
        lines: BinaryIO = source
        if not source.seekable():
            shutil.copyfileobj(source, kept)
            kept.seek(0)
            lines = kept
        start = lines.tell()

        def read_lines() -> Iterable[bytes]:
            lines.seek(start)
            return lines

        yield read_lines
