"""A sound copy of the database, taken while a server may be writing it; and what is in a copy.

The reading connection can neither write nor checkpoint, so it does not matter which process has
the lock. The copy is made in one step, inside one read transaction: it is the database of one
moment, has every commit before that, and no commit makes it begin anew. Blocking.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from phoenix_compat.tasks.model.errors import StoreCorruptError, StoreOpenError, StoreVersionError
from phoenix_compat.tasks.store.sqlite.database_file import TOLERANT_TEXT, soundness
from phoenix_compat.tasks.store.sqlite.queries import FILES_OF_TASKS, of_file

_KEPT_FILES = f"""
SELECT DISTINCT {of_file("path")}, {of_file("thumbnail_path")} FROM tasks, {FILES_OF_TASKS}
"""  # noqa: S608 - our own text


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a database holds.

    Attributes:
        schema_version: its `user_version`.
        tasks: how many.
        file_paths: of the kept files and thumbnails that its tasks name, below the archive's
            folder.
    """

    schema_version: int
    tasks: int
    file_paths: tuple[str, ...]


@contextlib.contextmanager
def opened_for_reading(path: Path, busy_timeout_s: float = 10.0) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, beside whoever does.

    Raises:
        StoreOpenError: there is no such file, or it cannot be read.
        StoreCorruptError: it is no sound database.
    """
    if not path.is_file():
        raise StoreOpenError(path, "there is none; name the data directory with --data-dir")
    # A bare path in a URI would be cut at "?" and "#".
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout_s)
        with contextlib.closing(connection):
            connection.row_factory = sqlite3.Row
            connection.text_factory = TOLERANT_TEXT
            yield connection
    except sqlite3.OperationalError as error:
        raise StoreOpenError(path, f"{error}; is the disk full, or its owner another?") from error
    except sqlite3.DatabaseError as error:
        raise StoreCorruptError(path, f"{error}; restore it from a backup") from error


def copy_database(source: Path, target: Path) -> None:
    """Copy the database as it is at one moment into a new file that needs no WAL beside it.

    Raises:
        StoreOpenError, StoreCorruptError: the source cannot be read, or the target not written.
    """
    # Prompts are private, in a copy too.
    target.touch(mode=0o600, exist_ok=False)
    with (
        opened_for_reading(source) as reading,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        reading.backup(writing, pages=-1)
        writing.execute("PRAGMA journal_mode = DELETE").fetchall()


def examined(path: Path, newest: int) -> Contents:
    """What a database holds, after a look at every page of it.

    Args:
        newest: the newest schema version that this program knows.

    Raises:
        StoreCorruptError: pages, indexes or references are damaged.
        StoreVersionError: it is newer than this program, or none of ours.
        StoreOpenError: it cannot be read.
    """
    with opened_for_reading(path) as connection:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > newest:
            reason = f"its schema is version {version}, newer than the {newest} this program knows"
            raise StoreVersionError(path, f"{reason}; use the newer program")
        answers = soundness(connection, "integrity_check(3)")
        if answers != ["ok"]:
            raise StoreCorruptError(path, f"it is damaged ({answers[0]}); use another backup")
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise StoreCorruptError(path, "rows refer to tasks that are missing")
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if version == 0 or "tasks" not in names:
            raise StoreVersionError(path, "it is no task database of this program")
        (tasks,) = connection.execute("SELECT count(*) FROM tasks").fetchone()
        # Version 1 kept no files.
        rows = connection.execute(_KEPT_FILES).fetchall() if version > 1 else []
        paths = sorted({path for row in rows for path in row if isinstance(path, str)})
    return Contents(schema_version=version, tasks=tasks, file_paths=tuple(paths))
