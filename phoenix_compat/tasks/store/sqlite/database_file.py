"""Locks and checks the database file before it is used.

Blocking; it runs in a thread while the server starts. It never repairs or replaces a file. A file
of an older version is copied and then migrated (see `migrations`).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Final, TypeAlias

from phoenix_compat.private_files import FILE_MODE, fsync_path, make_private_folder, open_private
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


MIN_FREE_BYTES: Final = 1024 * 1024
"""With less, a disk counts as full: a commit with its part of the WAL may be as large."""

FileIdentity: TypeAlias = tuple[int, int]
"""Device and inode: they identify a file whatever its name."""


TOLERANT_TEXT: Final[Callable[[bytes], str]] = partial(
    str, encoding="utf-8", errors="surrogateescape"
)
"""Decodes text columns. Bytes that are not UTF-8 become lone surrogates, because an error would end
the whole query with all its other rows."""


def file_identity(path: Path) -> FileIdentity | None:
    """Identify the file at this path; None when there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def disk_problem(path: Path) -> str | None:
    """Why nothing can be written beside this file, whatever the last write said; None if it can.

    A server that has nothing to write would notice only with the next task.
    """
    if not hasattr(os, "statvfs"):  # Windows
        return None
    try:
        found = os.statvfs(path.parent)
    except OSError as error:
        return f"the disk does not respond: {error.strerror}"
    if found.f_flag & os.ST_RDONLY:
        return "the file system is read-only"
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    if free * found.f_frsize < MIN_FREE_BYTES:
        return "the disk is full"
    return None


def lock_file(path: Path, *, create: bool = True) -> IO[bytes]:
    """Lock the database file for this process; closing the returned file releases the lock.

    Args:
        create: whether to create a missing database file. Otherwise only its name is locked.

    Raises:
        StoreOpenError: the folder cannot be created or written.
        StoreInUseError: another process has the lock.
    """
    try:
        make_private_folder(path.parent)
        if create and not path.exists():
            path.touch(mode=FILE_MODE)  # the WAL gets the same mode
            fsync_path(path.parent)
        lock = open_private(path.with_name(path.name + ".lock"), "ab")
    except OSError as error:
        raise StoreOpenError(
            path, f"{error.strerror}; choose a folder that this user may write to"
        ) from error
    try:
        _lock(lock)
    except OSError as error:
        lock.close()
        raise StoreInUseError(path, _IN_USE) from error
    return lock


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the folder of a database against the supervisors of other servers, within the block.

    The lock of the file itself belongs to one of the worker processes.

    Raises:
        StoreInUseError: another supervisor has it.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StoreInUseError(path, _IN_USE) from error
    except OSError:
        pass  # this file system cannot lock folders; see Leader
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(lock: IO[bytes]) -> None:
    if sys.platform != "win32":
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_file(path: Path, schema_sql: str, busy_timeout_s: float) -> None:
    """Check that the file is undamaged and has the right schema version.

    A new file gets the schema. A file of an older version is copied and then migrated.

    Raises:
        StoreCorruptError, StoreVersionError, StoreOpenError: the text says what to do.
    """
    wanted = version_of(schema_sql)
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=busy_timeout_s)
        with contextlib.closing(connection):
            _check_integrity(connection, path)
            found = _user_version(connection)
            if found == 0 and _is_empty(connection):
                connection.executescript(f"BEGIN IMMEDIATE;\n{schema_sql}\nCOMMIT;")
            elif found < wanted and can_migrate(connection, found, wanted):
                migrate(connection, path, found, wanted)
            elif found != wanted:
                raise StoreVersionError(path, version_advice(found, wanted))
    except sqlite3.OperationalError as error:
        is_busy = error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
        remedy = _BUSY_ADVICE if is_busy else _DISK_ADVICE
        raise StoreOpenError(path, f"{error}; {remedy}") from error
    except sqlite3.DatabaseError as error:
        raise StoreCorruptError(path, f"{error}; {_CORRUPT_ADVICE}") from error


def store_error(error: Exception) -> StoreError:
    """The store's error for an error of SQLite.

    A violated constraint is a bug in this program, and trying again would not help. Therefore it
    is not a StoreUnavailableError.
    """
    if isinstance(error, sqlite3.IntegrityError | sqlite3.InterfaceError | sqlite3.DataError):
        return StoreError(f"the database refused a value: {error}")
    return StoreUnavailableError(f"the database cannot be used at the moment: {error}")


_IN_USE = "another process is using it; stop that one first"
_BUSY_ADVICE = "check that no other program is using it"
_DISK_ADVICE = "check that the disk is not full and that this user may write to it"
_CORRUPT_ADVICE = "restore it from a backup, or move it away to start with an empty database"


def run_check(connection: sqlite3.Connection, check: str) -> list[str]:
    """Run a PRAGMA that checks the file; returns ["ok"], or the damage.

    CHECK constraints are ignored: an invalid value affects only its own row, so the database can be
    used.
    """
    connection.execute("PRAGMA ignore_check_constraints = ON")
    try:
        return [str(row[0]) for row in connection.execute(f"PRAGMA {check}")]
    finally:
        connection.execute("PRAGMA ignore_check_constraints = OFF")


def _check_integrity(connection: sqlite3.Connection, path: Path) -> None:
    (answer,) = run_check(connection, "quick_check(1)")[:1]
    if answer != "ok":
        first_line = str(answer).splitlines()[0]
        raise StoreCorruptError(path, f"it is damaged ({first_line}); {_CORRUPT_ADVICE}")


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def version_of(schema_sql: str) -> int:
    """The `user_version` that a schema sets, found by running it in memory."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema_sql)
        return _user_version(connection)


def version_advice(found: int, wanted: int) -> str:
    """The reason and advice for a file with a schema version that this program cannot use."""
    if found > wanted:
        return (
            f"its schema is version {found}, newer than the {wanted} this program knows; "
            "use a newer version of this program, or restore the copy or backup that was made "
            "before the upgrade"
        )
    return f"it is not a task database of this program (schema version {found}, expected {wanted})"
