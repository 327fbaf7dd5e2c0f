"""The database file before it is used: its lock, its soundness, its version.

Blocking on purpose; runs in a thread while the server starts. It repairs and replaces no file; an
older one it copies and then changes (see `migrations`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Final, TypeAlias

from phoenix_compat.tasks.model.errors import (
    StoreCorruptError,
    StoreError,
    StoreInUseError,
    StoreOpenError,
    StoreUnavailableError,
    StoreVersionError,
)
from phoenix_compat.tasks.store.sqlite.migrations import can_migrate, migrate

if sys.platform != "win32":
    import fcntl


FileIdentity: TypeAlias = tuple[int, int]
"""Device and inode: which file it is, whatever its name."""


TOLERANT_TEXT: Final[Callable[[bytes], str]] = partial(
    str, encoding="utf-8", errors="surrogateescape"
)
"""How text is read. Bytes that are no UTF-8 become lone surrogates: as errors they would end the
query, and with it all other rows."""


def file_identity(path: Path) -> FileIdentity | None:
    """Which file stands at this path; None when there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def lock_file(path: Path, *, is_made: bool = True) -> IO[str]:
    """Take the file for this process; closing the result lets it go.

    Args:
        is_made: make the file when it is missing; else only its place is taken.

    Raises:
        StoreOpenError: the folder cannot be made or written.
        StoreInUseError: another process holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_made:
            # Prompts are private: the file, and with it the WAL, is for its owner only.
            path.touch(mode=0o600)
        lock = path.with_name(path.name + ".lock").open("a", encoding="utf-8")
    except OSError as error:
        raise StoreOpenError(
            path, f"{error.strerror}; choose a folder this user may write"
        ) from error
    try:
        _lock(lock)
    except OSError as error:
        lock.close()
        raise StoreInUseError(path, "another process is using it; stop that one first") from error
    return lock


def _lock(lock: IO[str]) -> None:
    if sys.platform != "win32":
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_file(path: Path, schema_sql: str, busy_timeout_s: float) -> None:
    """See that the file is sound and of this version.

    A new file gets the schema, an older one is copied beside itself and brought up to it.

    Raises:
        StoreCorruptError, StoreVersionError, StoreOpenError: with what to do.
    """
    wanted = version_of(schema_sql)
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=busy_timeout_s)
        with contextlib.closing(connection):
            _check_soundness(connection, path)
            found = _user_version(connection)
            if found == 0 and _is_empty(connection):
                connection.executescript(f"BEGIN IMMEDIATE;\n{schema_sql}\nCOMMIT;")
            elif found < wanted and can_migrate(connection, found, wanted):
                migrate(connection, path, found, wanted)
            elif found != wanted:
                raise StoreVersionError(path, version_advice(found, wanted))
    except sqlite3.OperationalError as error:
        raise StoreOpenError(path, f"{error}; is another program using it?") from error
    except sqlite3.DatabaseError as error:
        raise StoreCorruptError(path, f"{error}; {_CORRUPT_ADVICE}") from error


def store_error(error: Exception) -> StoreError:
    """Our name for what SQLite says while the store is in use.

    A constraint that is broken is our own mistake: waiting does not mend it.
    """
    if isinstance(error, sqlite3.IntegrityError | sqlite3.InterfaceError | sqlite3.DataError):
        return StoreError(f"the database refused a value: {error}")
    return StoreUnavailableError(f"the database cannot be used just now: {error}")


_CORRUPT_ADVICE = "restore it from a backup, or move it away to start with an empty one"


def soundness(connection: sqlite3.Connection, check: str) -> list[str]:
    """What a check of soundness says: "ok", or what is damaged.

    A value that breaks a rule of the schema is no damage: it harms its row, and no other.
    """
    connection.execute("PRAGMA ignore_check_constraints = ON")
    try:
        return [str(row[0]) for row in connection.execute(f"PRAGMA {check}")]
    finally:
        connection.execute("PRAGMA ignore_check_constraints = OFF")


def _check_soundness(connection: sqlite3.Connection, path: Path) -> None:
    (answer,) = soundness(connection, "quick_check(1)")[:1]
    if answer != "ok":
        first_line = str(answer).splitlines()[0]
        raise StoreCorruptError(path, f"it is damaged ({first_line}); {_CORRUPT_ADVICE}")


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def version_of(schema_sql: str) -> int:
    """The version that a schema makes; it is the only place that knows, so it is asked."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema_sql)
        return _user_version(connection)


def version_advice(found: int, wanted: int) -> str:
    """What to do about a file of a version that this program cannot use."""
    if found > wanted:
        return (
            f"its schema is version {found}, newer than the {wanted} this program knows; "
            "there is no way back by itself: run the newer program, or restore the copy or backup "
            "that was made before the upgrade"
        )
    return f"it is no task database of this program (schema version {found}, expected {wanted})"
