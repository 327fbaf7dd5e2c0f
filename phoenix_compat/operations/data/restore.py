"""Restores a backup into a data directory: completely, or not visibly to a server.

Everything is unpacked into a temporary folder inside the data directory and checked there. Then the
archived files are moved, whose names are made from their content, and the database last, in one
rename: until then there is no database, and afterwards every file that it names is there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO, Final

from phoenix_compat.operations.data.bundle import DATABASE, FILES, BackupError, Manifest, copy_parts
from phoenix_compat.private_files import make_private_folder, open_private
from phoenix_compat.tasks.disk import fsync_path
from phoenix_compat.tasks.store.sqlite.database_copy import inspect_database
from phoenix_compat.tasks.store.sqlite.database_file import lock_file

_UNPACKED: Final = ".restoring"


def check_backup(backup: Path, schema_version: int, folder: Path) -> Manifest:
    """Check that a backup can be restored: every hash, and every page of its database. Blocking.

    Args:
        folder: a temporary folder, into which its database is unpacked.

    Raises:
        BackupError, StoreError: it cannot be restored; the text says why.
    """
    unpacked = folder / DATABASE

    def open_target(name: str) -> IO[bytes]:
        return (unpacked if name == DATABASE else Path(os.devnull)).open("wb")

    manifest = copy_parts(backup, open_target)
    _check_tasks(backup, manifest, unpacked, schema_version)
    return manifest


def restore(backup: Path, data_dir: Path, schema_version: int) -> Manifest:
    """Restore a backup into a data directory. Blocking.

    Raises:
        BackupError: the backup is damaged, or the data directory has a database already.
        StoreInUseError: a server uses this data directory.
        StoreError: the database in the backup is damaged, or newer than this program.
    """
    database = data_dir / DATABASE
    with lock_file(database, create=False):
        _check_empty(database)
        unpacked = data_dir / _UNPACKED
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            manifest = copy_parts(backup, lambda name: _open_private(unpacked / name))
            _check_tasks(backup, manifest, unpacked / DATABASE, schema_version)
            for name in manifest.parts:
                if name.startswith(FILES):
                    _move(unpacked / name, data_dir / name)
            _move(unpacked / DATABASE, database)
        except OSError as error:
            reason = error.strerror or str(error)
            remedy = "choose another --data-dir"
            raise BackupError(f"cannot restore into {data_dir}: {reason}; {remedy}") from error
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    return manifest


def _check_tasks(backup: Path, manifest: Manifest, database: Path, schema_version: int) -> None:
    contents = inspect_database(database, schema_version)
    if contents.tasks != manifest.tasks:
        raise BackupError(
            f"{backup} is damaged: it has {contents.tasks} tasks, but its manifest says "
            f"{manifest.tasks}; use another backup"
        )


def _check_empty(database: Path) -> None:
    # SQLite would apply a WAL that was left behind to the restored database.
    for path in (database, database.with_name(f"{DATABASE}-wal")):
        if path.exists():
            raise BackupError(
                f"{path} exists and is not overwritten; restore into another data directory, or "
                f"move it away: mkdir old && mv {database}* old/"
            )


def _open_private(path: Path) -> IO[bytes]:
    make_private_folder(path.parent)
    return open_private(path, "wb")


def _move(source: Path, target: Path) -> None:
    fsync_path(source)
    created = make_private_folder(target.parent)
    source.replace(target)
    for folder in (target.parent, *(one.parent for one in created)):
        fsync_path(folder)
