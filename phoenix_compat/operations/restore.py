"""Restore: a backup becomes a data directory, all of it or nothing of it that a server would see.

Everything is unpacked into a folder of its own inside the data directory and examined there. Then
the kept files go to their places, which are named by their content, and the database last, in one
rename: until then there is no database, and afterwards everything it names is there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO, Final

from phoenix_compat.operations.bundle import DATABASE, FILES, BackupError, Manifest, copy_parts
from phoenix_compat.tasks.disk import fsync_path
from phoenix_compat.tasks.store.sqlite.database_copy import inspect_database
from phoenix_compat.tasks.store.sqlite.database_file import lock_file

_UNPACKED: Final = ".restoring"


def check_backup(backup: Path, schema_version: int, folder: Path) -> Manifest:
    """See that a backup could be restored: every hash, every page of its database; blocking.

    Args:
        folder: where its database is unpacked for the while.

    Raises:
        BackupError, StoreError: it could not; the text says why.
    """
    unpacked = folder / DATABASE

    def place(name: str) -> IO[bytes]:
        return (unpacked if name == DATABASE else Path(os.devnull)).open("wb")

    manifest = copy_parts(backup, place)
    _check_tasks(backup, manifest, unpacked, schema_version)
    return manifest


def restore(backup: Path, data_dir: Path, schema_version: int) -> Manifest:
    """Make a data directory of a backup; blocking.

    Raises:
        BackupError: the backup is not sound, or there is a database already.
        StoreInUseError: a server runs on this data directory.
        StoreError: the database of the backup is damaged, or newer than this program.
    """
    database = data_dir / DATABASE
    with lock_file(database, create=False):
        _check_empty(database)
        unpacked = data_dir / _UNPACKED
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            manifest = copy_parts(backup, lambda name: _placed(unpacked / name))
            _check_tasks(backup, manifest, unpacked / DATABASE, schema_version)
            for name in manifest.parts:
                if name.startswith(FILES):
                    _move(unpacked / name, data_dir / name)
            _move(unpacked / DATABASE, database)
        except OSError as error:
            reason = error.strerror or str(error)
            raise BackupError(f"cannot restore into {data_dir}: {reason}") from error
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    return manifest


def _check_tasks(backup: Path, manifest: Manifest, database: Path, schema_version: int) -> None:
    contents = inspect_database(database, schema_version)
    if contents.tasks != manifest.tasks:
        raise BackupError(f"{backup}: {contents.tasks} tasks, and not {manifest.tasks} as it says")


def _check_empty(database: Path) -> None:
    # A WAL that was left behind would be played into the database that is put beside it.
    for path in (database, database.with_name(f"{DATABASE}-wal")):
        if path.exists():
            raise BackupError(
                f"{path} is there already and is not overwritten; restore into another data "
                f"directory, or move it away: mkdir old && mv {database}* old/"
            )


def _placed(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Prompts are private.
    path.touch(mode=0o600)
    return path.open("wb")


def _move(source: Path, target: Path) -> None:
    fsync_path(source)
    missing = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    for folder in (target.parent, *(one.parent for one in missing)):
        fsync_path(folder)
