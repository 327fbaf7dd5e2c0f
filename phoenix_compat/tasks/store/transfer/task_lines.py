"""Exports tasks as JSON lines and imports them: one line for a task with its history.

    {"format": "phoenix_compat.task.1", "id": …, its columns …,
     "events": [{"seq": 1, …}], "predictions": [{"id": …, "created_at": …}]}

Columns with JSON text become JSON values. The number and the lease are not exported, because a task
gets others where it is imported, nor are idempotency keys, since they expire after a day. Stored
files are named but not included; a backup includes them. An import registers the files of clients
that are stored where it runs, also for tasks that it added before. Blocking.

Export and import make the same checks (see `transfer_line`), so every exported line can be
imported. A task that fails the checks is skipped by the export and reported.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from phoenix_compat.tasks.model.errors import (
    StoreInUseError,
    StoreOpenError,
    StoreVersionError,
    UniqueError,
)
from phoenix_compat.tasks.store.columns import read_name
from phoenix_compat.tasks.store.database import Row
from phoenix_compat.tasks.store.sqlite.database_copy import open_read_only
from phoenix_compat.tasks.store.sqlite.database_file import (
    check_file,
    lock_file,
    version_advice,
    version_of,
)
from phoenix_compat.tasks.store.sqlite.transaction import SQLiteTransaction, run
from phoenix_compat.tasks.store.transfer.line_rows import (
    FindFile,
    add_files,
    add_line,
    stored_files,
)
from phoenix_compat.tasks.store.transfer.transfer_line import (
    FORMAT,
    MAX_LINE_BYTES,
    TransferError,
    encode_line,
    parse_line,
)
from phoenix_compat.tasks.store.transfer.transfer_statements import (
    ALL_EVENTS,
    ALL_PREDICTIONS,
    HAS_TASK,
)

__all__ = [
    "FORMAT",
    "MAX_LINE_BYTES",
    "MAX_PROBLEMS",
    "ImportResult",
    "TransferError",
    "export_lines",
    "import_lines",
]

MAX_PROBLEMS: Final = 20
"""An import reports at most this many problems."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class ImportResult:
    """What an import did.

    Attributes:
        added: tasks that were added.
        known: tasks that were in the store already and were not changed.
        left_out: unfinished tasks that were skipped.
        without_files: tasks of the export, new or known, with a file that is not stored here.
    """

    added: int = 0
    known: int = 0
    left_out: int = 0
    without_files: int = 0


def export_lines(
    database: Path, schema_sql: str, on_skipped: Callable[[str], None] | None = None
) -> Iterator[bytes]:
    """Export every task as a line, oldest first. A server may be running meanwhile.

    Args:
        on_skipped: called with a text about each task that is skipped because it cannot be read.
            None writes the text to the log.

    Raises:
        StoreVersionError: the schema version of the database is not this program's.
        StoreOpenError: the database is missing or cannot be read.
    """
    wanted = version_of(schema_sql)
    with open_read_only(database) as connection:
        connection.execute("BEGIN")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found != wanted:
            advice = "run `phoenix-compat upgrade` first"
            raise StoreVersionError(
                database, advice if found < wanted else version_advice(found, wanted)
            )
        for row in connection.execute("SELECT * FROM tasks ORDER BY number"):
            try:
                line = _export_task(connection, row)
            except TransferError as error:
                (on_skipped or log_skipped)(f"{name_of(row)}: {error}")
            else:
                yield line


def _export_task(connection: sqlite3.Connection, row: sqlite3.Row) -> bytes:
    key = (row["id"],)
    events = connection.execute(ALL_EVENTS, key)
    predictions = connection.execute(ALL_PREDICTIONS, key)
    return encode_line(row, events.fetchall(), predictions)


def name_of(row: Row) -> str:
    """How a text for people names the task of a row, possibly an unreadable one."""
    try:
        return f"task {read_name(row['id'])}"
    except ValueError:
        return f"task number {row['number']}"


def log_skipped(problem: str) -> None:
    """Report in the log a task that is skipped."""
    log.warning("export.task_skipped", reason=problem)


def import_lines(
    database: Path,
    schema_sql: str,
    lines: Iterable[bytes],
    *,
    with_unfinished: bool,
    find_file: FindFile | None = None,
) -> ImportResult:
    """Import tasks from JSON lines, all or none. Tasks that are in the store are not changed.

    Args:
        with_unfinished: whether to import queued and running tasks, which a server will then run.
        find_file: finds the stored file of a hash; None does not look for files.

    Raises:
        TransferError: a line is invalid; nothing was imported.
        StoreInUseError: a server is using the database.
        StoreOpenError: it cannot be written; nothing was imported.
    """
    try:
        lock = lock_file(database)
    except StoreInUseError as error:
        raise StoreInUseError(database, "a server is using it; stop it first") from error
    with lock:
        check_file(database, schema_sql, busy_timeout_s=5.0)
        connection = sqlite3.connect(database, isolation_level=None)
        with _written(database), contextlib.closing(connection):
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            imported, problems = _add_all(
                connection, lines, with_unfinished=with_unfinished, find_file=find_file
            )
            if problems:
                connection.execute("ROLLBACK")
                raise TransferError("\n".join([*problems, "nothing was imported"]))
            connection.execute("COMMIT")
    return imported


@contextlib.contextmanager
def _written(database: Path) -> Iterator[None]:
    """Say in words why a database cannot be written."""
    try:
        yield
    except sqlite3.OperationalError as error:
        reason = f"{error}; nothing was imported; free some space, or check its permissions"
        raise StoreOpenError(database, reason) from error


def _add_all(
    connection: sqlite3.Connection,
    lines: Iterable[bytes],
    *,
    with_unfinished: bool,
    find_file: FindFile | None,
) -> tuple[ImportResult, list[str]]:
    imported = ImportResult()
    transaction = SQLiteTransaction(connection)
    problems: list[str] = []
    seen: set[str] = set()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = parse_line(text)
            if line.id in seen:
                raise TransferError(f"the task {line.id} is in the file twice")  # noqa: TRY301 - handled below
            seen.add(line.id)
            if not line.status.is_terminal and not with_unfinished:
                imported.left_out += 1
                continue
            if connection.execute(HAS_TASK, (line.id,)).fetchone():
                imported.known += 1
            else:
                run(partial(add_line, line=line), transaction)
                imported.added += 1
            if find_file is not None:
                files = stored_files(line, find_file)
                run(partial(add_files, line=line, files=files), transaction)
                imported.without_files += not files.are_all
        except TransferError as error:
            problems.append(f"line {number}: {error}")
        except (UniqueError, sqlite3.IntegrityError) as error:
            problems.append(f"line {number}: conflicts with another task: {error}")
        if len(problems) == MAX_PROBLEMS:
            problems.append("there may be more problems")
            break
    return imported, problems
