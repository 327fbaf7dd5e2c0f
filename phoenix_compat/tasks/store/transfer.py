"""Tasks as JSON lines, from one store to another: one task a line, with its history.

    {"format": "phoenix_compat.task.1", "id": …, every column but `number` …,
     "events": [{"seq": 1, …}], "predictions": [{"id": …, "created_at": …}]}

Columns that hold JSON text are JSON here. Idempotency keys stay behind: they live for a day.
Kept files are named and not included; a backup has them. Blocking.

What is exported can be imported: both go by the checks of `transfer_line`. A task that could not be
is left out of an export, and told of.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from phoenix_compat.tasks.model.errors import StoreInUseError, StoreVersionError
from phoenix_compat.tasks.store.columns import read_name
from phoenix_compat.tasks.store.sqlite.database_copy import opened_for_reading
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
    event_values,
    read_line,
    task_values,
    written_line,
)

__all__ = [
    "FORMAT",
    "MAX_LINE_BYTES",
    "MAX_PROBLEMS",
    "Imported",
    "TransferError",
    "exported",
    "import_lines",
]

MAX_PROBLEMS: Final = 20
"""So many faults are told of one file."""

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
class Imported:
    """What an import did.

    Attributes:
        added: tasks that are new here. known: tasks that were here, and stay as they are.
        left_out: unfinished tasks, which were not asked for.
    """

    added: int = 0
    known: int = 0
    left_out: int = 0


def exported(
    database: Path, schema_sql: str, left_out: Callable[[str], None] | None = None
) -> Iterator[bytes]:
    """Every task as a line, oldest first, as of one moment; a server may be running.

    Args:
        left_out: told of each task that cannot be read, and is not exported: which, and what of
            it. None writes it to the log.

    Raises:
        StoreVersionError: the database has another version than this program.
        StoreOpenError: there is none, or it cannot be read.
    """
    wanted = version_of(schema_sql)
    with opened_for_reading(database) as connection:
        connection.execute("BEGIN")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found != wanted:
            advice = "run `phoenix-compat upgrade` first"
            raise StoreVersionError(
                database, advice if found < wanted else version_advice(found, wanted)
            )
        for row in connection.execute("SELECT * FROM tasks ORDER BY number"):
            try:
                line = _written(connection, row)
            except TransferError as error:
                (left_out or _log_left_out)(f"{_name_of(row)}: {error}")
            else:
                yield line


def _written(connection: sqlite3.Connection, row: sqlite3.Row) -> bytes:
    key = (row["id"],)
    events = connection.execute("SELECT * FROM events WHERE task_id = ? ORDER BY seq", key)
    predictions = connection.execute(
        "SELECT id, created_at FROM predictions WHERE task_id = ? ORDER BY created_at, id", key
    )
    return written_line(row, events.fetchall(), predictions)


def _name_of(row: sqlite3.Row) -> str:
    try:
        return f"task {read_name(row['id'])}"
    except ValueError:
        return f"task number {row['number']}"


def _log_left_out(problem: str) -> None:
    log.warning("export.left_out", reason=problem)


def import_lines(
    database: Path, schema_sql: str, lines: Iterable[bytes], *, with_unfinished: bool
) -> Imported:
    """Add tasks of JSON lines, all or none; tasks that are here already stay as they are.

    Args:
        with_unfinished: also those that are queued or running; a server will work on them.

    Raises:
        TransferError: a line is at fault; nothing was added.
        StoreInUseError: a server uses the database.
    """
    try:
        lock = lock_file(database)
    except StoreInUseError as error:
        raise StoreInUseError(database, "a server is using it; stop it first") from error
    with lock:
        check_file(database, schema_sql, busy_timeout_s=5.0)
        connection = sqlite3.connect(database, isolation_level=None)
        with contextlib.closing(connection):
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            connection.execute("BEGIN IMMEDIATE")
            imported, problems = _add_all(connection, lines, with_unfinished=with_unfinished)
            if problems:
                connection.execute("ROLLBACK")
                raise TransferError("\n".join([*problems, "nothing was imported"]))
            connection.execute("COMMIT")
    return imported


def _add_all(
    connection: sqlite3.Connection, lines: Iterable[bytes], *, with_unfinished: bool
) -> tuple[Imported, list[str]]:
    imported = Imported()
    problems: list[str] = []
    seen: set[str] = set()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = read_line(text)
            if line.id in seen:
                raise TransferError(f"the task {line.id} stands in the file twice")  # noqa: TRY301 - told below
            seen.add(line.id)
            if not line.status.is_terminal and not with_unfinished:
                imported.left_out += 1
            elif connection.execute("SELECT 1 FROM tasks WHERE id = ?", (line.id,)).fetchone():
                imported.known += 1
            else:
                _add(connection, line)
                imported.added += 1
        except TransferError as error:
            problems.append(f"line {number}: {error}")
        except sqlite3.IntegrityError as error:
            problems.append(f"line {number}: it clashes with another task: {error}")
        if len(problems) == MAX_PROBLEMS:
            problems.append("and perhaps more")
            break
    return imported, problems


def _add(connection: sqlite3.Connection, line: Line) -> None:
    connection.execute(_ADD_TASK, task_values(line))
    for prediction in line.predictions:
        connection.execute(_ADD_PREDICTION, (prediction.id, line.id, prediction.created_at))
    for event in line.events:
        connection.execute(_ADD_EVENT, {"task_id": line.id, **event_values(event)})
