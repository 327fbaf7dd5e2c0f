"""Exports tasks from a database that servers use, and imports them into one, on any engine.

The lines are those of `task_lines`. An import adds tasks in parts, so that servers need not wait;
if it is interrupted, a repeated one adds the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Final

from phoenix_compat.tasks.model.errors import UniqueError
from phoenix_compat.tasks.store.database import Database, Row, Transaction
from phoenix_compat.tasks.store.statements import queries
from phoenix_compat.tasks.store.transfer.line_rows import (
    FindFile,
    StoredFiles,
    add_files,
    add_line,
    stored_files,
)
from phoenix_compat.tasks.store.transfer.task_lines import (
    MAX_PROBLEMS,
    ImportResult,
    log_skipped,
    name_of,
)
from phoenix_compat.tasks.store.transfer.transfer_line import (
    Line,
    TransferError,
    encode_line,
    parse_line,
)
from phoenix_compat.tasks.store.transfer.transfer_statements import (
    ALL_EVENTS,
    ALL_PREDICTIONS,
    HAS_TASK,
    TASKS_AFTER,
)

_PAGE: Final = 20
_TRIES: Final = 5


async def export_shared(
    database: Database, on_skipped: Callable[[str], None] = log_skipped
) -> AsyncIterator[bytes]:
    """Export every task as a line, oldest first. Tasks that are added meanwhile may be missing.

    Args:
        on_skipped: called with a text about each task that is skipped because it cannot be read.

    Raises:
        StoreUnavailableError: the database cannot be read.
    """
    after = 0
    while rows := await database.read(TASKS_AFTER, (after, _PAGE)):
        for row in rows:
            after = int(row["number"])
            try:
                line = await _export_task(database, row)
            except TransferError as error:
                on_skipped(f"{name_of(row)}: {error}")
                continue
            if line is not None:
                yield line


async def _export_task(database: Database, row: Row) -> bytes | None:
    """The line of a task; None if it was deleted meanwhile.

    A server may move the task between the reads, and then its history does not fit to it.
    """
    for tries in range(1, _TRIES + 1):
        key = (row["id"],)
        events = await database.read(ALL_EVENTS, key)
        predictions = await database.read(ALL_PREDICTIONS, key)
        try:
            return encode_line(row, events, predictions)
        except TransferError:
            again = await database.read(queries.GET_NUMBER, (row["number"],))
            if not again:
                return None
            if tries == _TRIES or tuple(again[0]) == tuple(row):
                raise
            row = again[0]
    return None


async def import_shared(
    database: Database,
    read_lines: Callable[[], Iterable[bytes]],
    *,
    with_unfinished: bool,
    find_file: FindFile | None = None,
) -> ImportResult:
    """Import tasks from JSON lines. Tasks that are in the store are not changed.

    Args:
        read_lines: gives all lines; called twice, because all are checked before one is added.
        with_unfinished: whether to import queued and running tasks, which servers then run.
        find_file: None does not look for files.

    Raises:
        TransferError: a line is invalid, and nothing was imported; or a task conflicts with
            another one, and those before it were imported.
        StoreUnavailableError: the rest was not imported.
    """
    await asyncio.to_thread(_check, read_lines)
    imported = ImportResult()
    async for number, line in _lines(read_lines):
        if not line.status.is_terminal and not with_unfinished:
            imported.left_out += 1
            continue
        files = (
            None if find_file is None else await asyncio.to_thread(stored_files, line, find_file)
        )
        try:
            is_new = await database.write(partial(_add, line=line, files=files))
        except UniqueError as error:
            raise TransferError(
                f"line {number}: conflicts with another task; the lines before it were imported"
            ) from error
        imported.added += is_new
        imported.known += not is_new
        imported.without_files += files is not None and not files.are_all
    return imported


async def _add(transaction: Transaction, line: Line, files: StoredFiles | None) -> bool:
    """Add the task of a line if it is new, and its files in any case; returns whether it was."""
    is_new = not await transaction.rows(HAS_TASK, (line.id,))
    if is_new:
        await add_line(transaction, line)
    if files is not None:
        await add_files(transaction, line, files)
    return is_new


async def _lines(read_lines: Callable[[], Iterable[bytes]]) -> AsyncIterator[tuple[int, Line]]:
    texts = enumerate(await asyncio.to_thread(read_lines), start=1)
    while (found := await asyncio.to_thread(next, texts, None)) is not None:
        number, text = found
        if text.strip():
            yield number, parse_line(text)


def _check(read_lines: Callable[[], Iterable[bytes]]) -> None:
    problems: list[str] = []
    seen: set[str] = set()
    for number, text in enumerate(read_lines(), start=1):
        if not text.strip():
            continue
        try:
            line = parse_line(text)
            if line.id in seen:
                raise TransferError(f"the task {line.id} is in the file twice")  # noqa: TRY301 - handled below
            seen.add(line.id)
        except TransferError as error:
            problems.append(f"line {number}: {error}")
        if len(problems) == MAX_PROBLEMS:
            problems.append("there may be more problems")
            break
    if problems:
        raise TransferError("\n".join([*problems, "nothing was imported"]))
