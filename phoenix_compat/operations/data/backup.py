"""Writes a backup: a snapshot of the database and the files of its tasks, in one tar file.

A server may be running meanwhile. The backup contains every task that was accepted with a 202
before the backup began.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from phoenix_compat.operations.data.bundle import (
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
from phoenix_compat.private_files import FILE_MODE, make_private_folder
from phoenix_compat.tasks.disk import fsync_path
from phoenix_compat.tasks.model.clock import SystemClock, stored_time
from phoenix_compat.tasks.store.sqlite.database_copy import copy_database, inspect_database
from phoenix_compat.version import __version__

_MARGIN_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The data to back up.

    Attributes:
        database: the SQLite file.
        files: the folder of the archived files; None if they are in a bucket and not backed up.
        files_at: where they are then, for people; without secrets.
        schema_version: the newest schema version that this program knows.
    """

    database: Path
    files: Path | None
    schema_version: int
    files_at: str = ""


Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the step (copy, files or verify), the bytes that are done, and those of the step."""


def _no_progress(_step: str, _done_bytes: int, _total_bytes: int) -> None:
    pass


def back_up(data: Data, out: Path, progress: Progress = _no_progress) -> Manifest:
    """Write a backup. It gets its final name only after it has been verified. Blocking.

    Args:
        out: the new file; its folder must have room for the database twice and the files once.
        progress: called again and again, in this thread.

    Raises:
        BackupError: the file exists, there is too little space, or the verification failed.
        StoreError: the database cannot be read, or is damaged.
    """
    if out.exists():
        raise BackupError(f"{out} exists; choose another name")
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=out.parent) as folder:
            _check_free_space(data.database, out.parent)
            created_at = stored_time(SystemClock().now())
            database = Path(folder) / DATABASE
            progress("copy", 0, data.database.stat().st_size if data.database.is_file() else 0)
            copy_database(data.database, database)
            contents = inspect_database(database, data.schema_version)
            unfinished.unlink(missing_ok=True)
            unfinished.touch(mode=FILE_MODE)
            with tarfile.open(unfinished, "w:") as tar:
                parts = {DATABASE: _add(tar, database, DATABASE)}
                missing: list[str] = []
                if data.files is not None:
                    missing = _add_files(tar, data.files, contents.file_paths, parts, progress)
                manifest = Manifest(
                    format=FORMAT,
                    program=__version__,
                    schema_version=contents.schema_version,
                    created_at=created_at,
                    tasks=contents.tasks,
                    parts=parts,
                    missing=missing,
                    files_at="" if data.files is not None else data.files_at,
                )
                _add_manifest(tar, manifest)
        progress("verify", 0, unfinished.stat().st_size)
        copy_parts(unfinished)
        fsync_path(unfinished)
        unfinished.replace(out)
        fsync_path(out.parent)
    except OSError as error:
        remedy = "choose another place"
        raise BackupError(f"cannot write {out}: {error.strerror or error}; {remedy}") from error
    finally:
        with contextlib.suppress(OSError):  # it could not be made either
            unfinished.unlink(missing_ok=True)
    return manifest


def _add_files(
    tar: tarfile.TarFile,
    folder: Path,
    paths: Iterable[str],
    parts: dict[str, Part],
    progress: Progress,
) -> list[str]:
    """Add the files of a folder; returns those that are missing."""
    missing: list[str] = []
    names = tuple(paths)
    sizes = _sizes(folder, names)
    done_bytes, total_bytes = 0, sum(sizes.values())
    for path in names:
        progress("files", done_bytes, total_bytes)
        if path in sizes:
            parts[FILES + path] = _add(tar, folder / path, FILES + path)
            done_bytes += sizes[path]
        else:
            missing.append(path)
    return missing


def _sizes(folder: Path, paths: Iterable[str]) -> dict[str, int]:
    """The sizes of the files that are there, by their paths below the folder."""
    return {
        path: (folder / path).stat().st_size
        for path in paths
        if is_file_name(FILES + path) and (folder / path).is_file()
    }


def made_folder(folder: Path) -> Path:
    """A folder for backups; if it is missing, it is made, for this user alone. Blocking.

    Raises:
        BackupError: it cannot be made.
    """
    try:
        make_private_folder(folder)
    except OSError as error:
        remedy = "choose another place"
        raise BackupError(f"cannot make {folder}: {error.strerror or error}; {remedy}") from error
    return folder


def _check_free_space(database: Path, folder: Path) -> None:
    needed = 2 * database.stat().st_size if database.is_file() else 0
    free = shutil.disk_usage(folder).free
    if free < needed + _MARGIN_BYTES:
        raise BackupError(
            f"{folder} has {free} bytes free, but {needed + _MARGIN_BYTES} are needed; "
            "free some space, or choose another place"
        )


def _add(tar: tarfile.TarFile, path: Path, name: str) -> Part:
    """Add a file. Archived files never change, so it can be hashed before it is added."""
    with path.open("rb") as source:
        entry = tarfile.TarInfo(name)
        entry.size = os.fstat(source.fileno()).st_size
        entry.mode = FILE_MODE
        entry.mtime = int(os.fstat(source.fileno()).st_mtime)
        part = hashed(source, None)
        if part.bytes != entry.size:
            raise BackupError(
                f"{path} is being changed by another program; stop that program and try again"
            )
        source.seek(0)
        tar.addfile(entry, source)
    return part


def _add_manifest(tar: tarfile.TarFile, manifest: Manifest) -> None:
    text = msgspec.json.format(msgspec.json.encode(manifest))
    entry = tarfile.TarInfo(MANIFEST)
    entry.size = len(text)
    entry.mode = FILE_MODE
    tar.addfile(entry, io.BytesIO(text))
