"""The format of a backup: a tar file with a manifest of its contents.

    tasks.sqlite3                     a snapshot of the database
    files/ab/cd/<sha256>.<ext>        the archived files of its tasks
    files/thumbnails/ab/cd/<sha256>.webp
    manifest.json                     at the end: without it the backup is incomplete

A backup with any other entry is refused. All functions block.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec

from phoenix_compat.errors import PhoenixCompatError

DATABASE: Final = "tasks.sqlite3"
FILES: Final = "files/"
MANIFEST: Final = "manifest.json"
FORMAT: Final = "phoenix_compat.backup.1"
MAX_MANIFEST_BYTES: Final = 512 * 2**20

_CHUNK_BYTES: Final = 2**20
_FILE_NAME: Final = re.compile(
    r"files/(?:thumbnails/)?([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{64})\.[a-z0-9]{1,5}"
)


class BackupError(PhoenixCompatError):
    """A backup cannot be made, is incomplete, or cannot be restored; the text says what to do."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Size and hash of a file in the backup."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a backup.

    Attributes:
        format: the format of the backup.
        program: the version of the program that made it.
        schema_version: the schema version of the database.
        created_at: the time of the snapshot, UTC, ISO 8601.
        tasks: the number of tasks.
        parts: every other file, by its name in the backup.
        missing: files that tasks name but that no longer existed: pruned, or deleted by hand.
        files_at: the bucket where the files are; they are not in the backup then.
    """

    format: str
    program: str
    schema_version: int
    created_at: str
    tasks: int
    parts: dict[str, Part]
    missing: list[str]
    files_at: str = ""


def is_file_name(name: str) -> bool:
    """Whether this is the name of an archived file in a backup."""
    match = _FILE_NAME.fullmatch(name)
    return match is not None and match[3].startswith(match[1] + match[2])


@contextmanager
def opened_backup(path: Path) -> Iterator[tuple[tarfile.TarFile, Manifest]]:
    """Open a backup and read its manifest.

    Raises:
        BackupError: it is not a backup, is incomplete, or has another format.
    """
    with reading_backup(path):
        tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed below; errors of the block are others
    with tar:
        with reading_backup(path):
            manifest = _manifest(path, tar)
        yield tar, manifest


@contextmanager
def reading_backup(path: Path) -> Iterator[None]:
    """Name the backup in errors of reading it. Raises BackupError."""
    try:
        yield
    except OSError as error:
        remedy = "check the file and its permissions"
        raise BackupError(f"cannot read {path}: {error.strerror or error}; {remedy}") from error
    except tarfile.TarError as error:
        raise BackupError(f"{path} is not a complete backup: {error}; use another") from error


def _manifest(path: Path, tar: tarfile.TarFile) -> Manifest:
    last = None
    for last in tar:  # noqa: B007 - the manifest is the last
        pass
    if last is None or last.name != MANIFEST or last.size > MAX_MANIFEST_BYTES:
        raise BackupError(
            f"{path} is not a complete backup: it does not end with {MANIFEST}; use another"
        )
    source = tar.extractfile(last)
    try:
        manifest = msgspec.json.decode(b"" if source is None else source.read(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError(
            f"{path} is not a backup of this program: its {MANIFEST} is not valid; use another"
        ) from error
    if manifest.format != FORMAT:
        raise BackupError(
            f"{path} has the unknown format {manifest.format!r}; use the program that made it"
        )
    return manifest


def copy_parts(path: Path, open_target: Callable[[str], IO[bytes]] | None = None) -> Manifest:
    """Read a whole backup, and check every part against the manifest.

    Args:
        open_target: opens the file to which a part is written, by the part's name; if it is None,
            nothing is written.

    Raises:
        BackupError: a part is missing, damaged, or does not belong in a backup.
        OSError: a part cannot be written.
    """
    with opened_backup(path) as (tar, manifest):
        seen: set[str] = set()
        for entry in tar.getmembers():
            if entry.name == MANIFEST:
                continue
            part = manifest.parts.get(entry.name)
            is_ours = entry.name == DATABASE or is_file_name(entry.name)
            if part is None or not is_ours or not entry.isreg() or entry.name in seen:
                raise BackupError(
                    f"{path} contains {entry.name!r}, which does not belong in a backup; "
                    "use another backup"
                )
            seen.add(entry.name)
            source = tar.extractfile(entry)
            assert source is not None  # noqa: S101 - it is a regular file
            reading = _BackupPart(path, source)
            if open_target is None:
                found = hashed(reading, None)
            else:
                with open_target(entry.name) as target:
                    found = hashed(reading, target)
            if found != part:
                raise BackupError(f"{path}: {entry.name} is damaged; use another backup")
    missing = manifest.parts.keys() - seen
    if missing or DATABASE not in seen:
        raise BackupError(f"{path} lacks {min(missing, default=DATABASE)}; use another backup")
    return manifest


class _BackupPart:
    """A part as it is read; errors of reading name the backup, unlike those of writing."""

    def __init__(self, path: Path, source: IO[bytes]) -> None:
        self._path = path
        self._source = source

    def read(self, size_bytes: int, /) -> bytes:
        """See Readable. Raises BackupError."""
        with reading_backup(self._path):
            return self._source.read(size_bytes)


class Readable(Protocol):
    """What can be read in pieces."""

    def read(self, size_bytes: int, /) -> bytes:
        """Up to so many bytes; none at the end."""


def hashed(source: Readable, target: IO[bytes] | None) -> Part:
    """Read a file to its end and copy it to `target`, if given; returns its size and hash."""
    digest = hashlib.sha256()
    size_bytes = 0
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
        if target is not None:
            target.write(chunk)
    return Part(bytes=size_bytes, sha256=digest.hexdigest())
