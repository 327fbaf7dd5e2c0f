"""Backup: the database of one moment and the files its tasks name, in one file, read back at once.

It may run beside a working server. What a 202 has promised before it began is in it.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from phoenix_compat.operations.bundle import (
    DATABASE,
    FILES,
    FORMAT,
    MANIFEST,
    BackupError,
    Manifest,
    Part,
    copy_parts,
    hashed,
    is_file_name,
)
from phoenix_compat.tasks.disk import fsync_path
from phoenix_compat.tasks.model.clock import SystemClock, stored_time
from phoenix_compat.tasks.store.sqlite.database_copy import copy_database, inspect_database
from phoenix_compat.version import __version__

_PRIVATE: Final = 0o600
_MARGIN_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is backed up.

    Attributes:
        database: the SQLite file. files: the folder of the kept files.
        schema_version: the newest that this program knows.
    """

    database: Path
    files: Path
    schema_version: int


def back_up(data: Data, out: Path) -> Manifest:
    """Write a backup and read it back; it appears under its name whole, or not at all. Blocking.

    Args:
        out: the new file; its folder must have room for the database twice and the files once.

    Raises:
        BackupError: there is such a file, no room, or what was written reads back differently.
        StoreError: the database cannot be read, or is damaged.
    """
    if out.exists():
        raise BackupError(f"{out} is there already; give another name")
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=out.parent) as folder:
            _check_room(data.database, out.parent)
            created_at = stored_time(SystemClock().now())
            snapshot = Path(folder) / DATABASE
            copy_database(data.database, snapshot)
            contents = inspect_database(snapshot, data.schema_version)
            unfinished.unlink(missing_ok=True)
            unfinished.touch(mode=_PRIVATE)
            with tarfile.open(unfinished, "w:") as tar:
                parts = {DATABASE: _add(tar, snapshot, DATABASE)}
                missing: list[str] = []
                for path in contents.file_paths:
                    if is_file_name(FILES + path) and (data.files / path).is_file():
                        parts[FILES + path] = _add(tar, data.files / path, FILES + path)
                    else:
                        missing.append(path)
                manifest = Manifest(
                    format=FORMAT,
                    program=__version__,
                    schema_version=contents.schema_version,
                    created_at=created_at,
                    tasks=contents.tasks,
                    parts=parts,
                    missing=missing,
                )
                _add_manifest(tar, manifest)
        copy_parts(unfinished)
        fsync_path(unfinished)
        unfinished.replace(out)
        fsync_path(out.parent)
    except OSError as error:
        raise BackupError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


def _check_room(database: Path, folder: Path) -> None:
    wanted = 2 * database.stat().st_size if database.is_file() else 0
    free = shutil.disk_usage(folder).free
    if free < wanted + _MARGIN_BYTES:
        raise BackupError(f"{folder} has {free} bytes free, and {wanted} are needed; free some")


def _add(tar: tarfile.TarFile, path: Path, name: str) -> Part:
    """Put a file in; kept files never change, so its hash is that of what was put in."""
    with path.open("rb") as source:
        entry = tarfile.TarInfo(name)
        entry.size = os.fstat(source.fileno()).st_size
        entry.mode = _PRIVATE
        entry.mtime = int(os.fstat(source.fileno()).st_mtime)
        part = hashed(source, None)
        if part.bytes != entry.size:
            raise BackupError(f"{path} is being changed; nothing but this program may do so")
        source.seek(0)
        tar.addfile(entry, source)
    return part


def _add_manifest(tar: tarfile.TarFile, manifest: Manifest) -> None:
    text = msgspec.json.format(msgspec.json.encode(manifest))
    entry = tarfile.TarInfo(MANIFEST)
    entry.size = len(text)
    entry.mode = _PRIVATE
    tar.addfile(entry, io.BytesIO(text))
