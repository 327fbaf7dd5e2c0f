"""Exports tasks as JSON lines and imports them: one line for a task with its history.

    {"format": "phoenix_compat.task.1", "id": …, every column but `number` …,
     "events": [{"seq": 1, …}], "predictions": [{"id": …, "created_at": …}]}

Columns with JSON text become JSON values. Idempotency keys are not exported, since they expire
after a day. Stored files are named but not included; a backup includes them. An import registers
the files of clients that are stored where it runs, also for tasks that it added before. Blocking.

Export and import make the same checks (see `transfer_line`), so every exported line can be
imported. A task that fails the checks is skipped by the export and reported.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from phoenix_compat.tasks.model.errors import StoreInUseError, StoreOpenError, StoreVersionError
from phoenix_compat.tasks.model.inputs.file_inputs import StoredInput, used_uploads
from phoenix_compat.tasks.store.columns import read_name
from phoenix_compat.tasks.store.sqlite import upload_queries
from phoenix_compat.tasks.store.sqlite.database_copy import open_read_only
from phoenix_compat.tasks.store.sqlite.database_file import (
    check_file,
    lock_file,
    version_advice,
    version_of,
)
from phoenix_compat.tasks.store.transfer_line import (
    COLUMNS,
    FORMAT,
    MAX_LINE_BYTES,
    Line,
    TransferError,
    encode_line,
    event_values,
    parse_line,
    task_values,
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

_ADD_TASK: Final = (
    f"INSERT INTO tasks ({', '.join(COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join(':' + name for name in COLUMNS)})"
)
_ADD_EVENT: Final = """
INSERT INTO events (task_id, seq, event, status, progress, data, at)
VALUES (:task_id, :seq, :event, :status, :progress, :data, :at)
"""
_ADD_PREDICTION: Final = "INSERT INTO predictions (id, task_id, created_at) VALUES (?, ?, ?)"


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
                (on_skipped or _log_skipped)(f"{_name_of(row)}: {error}")
            else:
                yield line


def _export_task(connection: sqlite3.Connection, row: sqlite3.Row) -> bytes:
    key = (row["id"],)
    events = connection.execute("SELECT * FROM events WHERE task_id = ? ORDER BY seq", key)
    predictions = connection.execute(
        "SELECT id, created_at FROM predictions WHERE task_id = ? ORDER BY created_at, id", key
    )
    return encode_line(row, events.fetchall(), predictions)


def _name_of(row: sqlite3.Row) -> str:
    try:
        return f"task {read_name(row['id'])}"
    except ValueError:
        return f"task number {row['number']}"


def _log_skipped(problem: str) -> None:
    log.warning("export.task_skipped", reason=problem)


def import_lines(
    database: Path,
    schema_sql: str,
    lines: Iterable[bytes],
    *,
    with_unfinished: bool,
    find_file: Callable[[str], StoredInput | None] | None = None,
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
    find_file: Callable[[str], StoredInput | None] | None,
) -> tuple[ImportResult, list[str]]:
    imported = ImportResult()
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
            if connection.execute("SELECT 1 FROM tasks WHERE id = ?", (line.id,)).fetchone():
                imported.known += 1
            else:
                _add(connection, line)
                imported.added += 1
            if find_file is not None:
                imported.without_files += not _add_files(connection, line, find_file)
        except TransferError as error:
            problems.append(f"line {number}: {error}")
        except sqlite3.IntegrityError as error:
            problems.append(f"line {number}: conflicts with another task: {error}")
        if len(problems) == MAX_PROBLEMS:
            problems.append("there may be more problems")
            break
    return imported, problems


def _add(connection: sqlite3.Connection, line: Line) -> None:
    connection.execute(_ADD_TASK, task_values(line))
    for prediction in line.predictions:
        connection.execute(_ADD_PREDICTION, (prediction.id, line.id, prediction.created_at))
    for event in line.events:
        connection.execute(_ADD_EVENT, {"task_id": line.id, **event_values(event)})


def _add_files(
    connection: sqlite3.Connection, line: Line, find_file: Callable[[str], StoredInput | None]
) -> bool:
    """Record which files of clients a task uses; returns whether all its files are stored."""
    are_stored = all(find_file(file.sha256) is not None for file in line.files)
    for upload in used_uploads(line.input):
        stored = find_file(upload.sha256)
        if stored is None:
            are_stored = False
            continue
        values = {
            "owner": line.owner,
            "sha256": upload.sha256,
            "content_type": stored.content_type,
            "size_bytes": stored.size_bytes,
            "now": line.created_at,
            "task_id": line.id,
        }
        connection.execute(upload_queries.IMPORT_UPLOAD, values)
        connection.execute(upload_queries.ADD_TASK_INPUT, values)
    return are_stored
