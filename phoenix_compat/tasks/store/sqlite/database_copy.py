"""Copies the database while a server may be writing to it, and inspects a copy.

The connection that reads can neither write nor checkpoint, so it needs no lock. The copy is made in
one step inside one read transaction: it contains exactly the commits before that moment, and later
commits do not make it start again. Blocking.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from phoenix_compat.private_files import FILE_MODE
from phoenix_compat.tasks.model.errors import StoreCorruptError, StoreOpenError, StoreVersionError
from phoenix_compat.tasks.store.sqlite.database_file import TOLERANT_TEXT, run_check
from phoenix_compat.tasks.store.statements.queries import FILES_OF_TASKS, of_file

_STORED_FILES = f"""
SELECT DISTINCT {of_file("path")}, {of_file("thumbnail_path")} FROM tasks, {FILES_OF_TASKS}
"""  # noqa: S608 - our own text


_ERRORS_OF_WRITING = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR_FSYNC: errno.EIO,
    sqlite3.SQLITE_IOERR_WRITE: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseContents:
    """What a database contains.

    Attributes:
        schema_version: its `user_version`.
        tasks: the number of tasks.
        file_paths: paths of its tasks' stored files and thumbnails, relative to the archive's
            folder.
    """

    schema_version: int
    tasks: int
    file_paths: tuple[str, ...]


@contextlib.contextmanager
def open_read_only(path: Path, busy_timeout_s: float = 10.0) -> Iterator[sqlite3.Connection]:
    """Open a connection that cannot write; a server may be using the database.

    Raises:
        StoreOpenError: the file is missing or cannot be read.
        StoreCorruptError: the file is damaged or is not a database.
    """
    if not path.is_file():
        raise StoreOpenError(
            path, "the file does not exist; set the data directory with --data-dir"
        )
    # as_uri() escapes "?" and "#", which would end the path.
    uri = f"{path.absolute().as_uri()}?{_access(path)}"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout_s)
        with contextlib.closing(connection):
            connection.row_factory = sqlite3.Row
            connection.text_factory = TOLERANT_TEXT
            yield connection
    except sqlite3.OperationalError as error:
        raise StoreOpenError(
            path, f"{error}; check that the disk is not full and that this user may read it"
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreCorruptError(path, f"{error}; restore it from a backup") from error


def _access(path: Path) -> str:
    """The parameter for reading a file that others may be writing.

    To read a WAL, SQLite makes a file for shared memory beside it. Where that is not allowed nobody
    can be writing, so a database without a WAL is read as it is.
    """
    wal = path.with_name(f"{path.name}-wal")
    has_wal = wal.exists() and wal.stat().st_size > 0
    return "mode=ro" if has_wal or os.access(path.parent, os.W_OK) else "mode=ro&immutable=1"


def copy_database(source: Path, target: Path) -> None:
    """Copy the database, as of one moment, into a new file that needs no WAL file.

    Raises:
        StoreOpenError, StoreCorruptError: the source cannot be read.
        OSError: the target cannot be written.
    """
    target.touch(mode=FILE_MODE, exist_ok=False)
    with (
        open_read_only(source) as reading,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        try:
            reading.backup(writing, pages=-1)
            writing.execute("PRAGMA journal_mode = DELETE").fetchall()
        except sqlite3.OperationalError as error:
            number = _ERRORS_OF_WRITING.get(error.sqlite_errorcode)
            if number is None:
                raise
            raise OSError(number, os.strerror(number), str(target)) from error


def inspect_database(path: Path, newest: int) -> DatabaseContents:
    """What a database contains, after a check of every page.

    Args:
        newest: the newest schema version that this program knows.

    Raises:
        StoreCorruptError: pages, indexes or references are damaged.
        StoreVersionError: it is newer than this program, or is not a task database.
        StoreOpenError: it cannot be read.
    """
    with open_read_only(path) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > newest:
            reason = f"its schema is version {version}, newer than the {newest} this program knows"
            raise StoreVersionError(path, f"{reason}; use a newer version of this program")
        answers = run_check(connection, "integrity_check(3)")
        if answers != ["ok"]:
            raise StoreCorruptError(path, f"it is damaged ({answers[0]}); use another backup")
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise StoreCorruptError(path, "some rows refer to missing tasks; use another backup")
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if version == 0 or "tasks" not in names:
            raise StoreVersionError(path, "it is not a task database of this program")
        (tasks,) = connection.execute("SELECT count(*) FROM tasks").fetchone()
        # Version 1 had no column `files`.
        rows = connection.execute(_STORED_FILES).fetchall() if version > 1 else []
        paths = sorted({path for row in rows for path in row if isinstance(path, str)})
    return DatabaseContents(schema_version=version, tasks=tasks, file_paths=tuple(paths))
