"""A backup on disk: one tar file that says itself what must be in it.

    tasks.sqlite3                     the database of one moment
    files/ab/cd/<sha256>.<ext>        the kept files that its tasks name
    files/thumbnails/ab/cd/<sha256>.webp
    manifest.json                     last: without it the backup is not whole

Nothing else is ever taken from one. Blocking.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

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
    """A backup cannot be made, is not whole, or cannot be restored; the text says what to do."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the backup."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What must be in a backup.

    Attributes:
        format: of the backup itself.
        program: the version that made it. schema_version: of the database.
        created_at: when the moment was, UTC, ISO 8601.
        tasks: how many there are.
        parts: every other file, by its name in the backup.
        missing: files that tasks name and that were gone: pruned, or deleted by someone.
    """

    format: str
    program: str
    schema_version: int
    created_at: str
    tasks: int
    parts: dict[str, Part]
    missing: list[str]


def is_file_name(name: str) -> bool:
    """Whether a backup may hold a kept file under this name."""
    match = _FILE_NAME.fullmatch(name)
    return match is not None and match[3].startswith(match[1] + match[2])


@contextmanager
def opened_backup(path: Path) -> Iterator[tuple[tarfile.TarFile, Manifest]]:
    """A backup with its manifest.

    Raises:
        BackupError: it is none, not whole, or of a newer program.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar, _manifest(path, tar)
    except OSError as error:
        raise BackupError(f"cannot read {path}: {error.strerror or error}") from error
    except tarfile.TarError as error:
        raise BackupError(f"{path} is no whole backup: {error}; use another") from error


def _manifest(path: Path, tar: tarfile.TarFile) -> Manifest:
    last = None
    for last in tar:  # noqa: B007 - the manifest is the last
        pass
    if last is None or last.name != MANIFEST or last.size > MAX_MANIFEST_BYTES:
        raise BackupError(f"{path} is no whole backup: it does not end with {MANIFEST}")
    source = tar.extractfile(last)
    try:
        manifest = msgspec.json.decode(b"" if source is None else source.read(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise BackupError(f"{path} is no backup of this program: {error}") from error
    if manifest.format != FORMAT:
        raise BackupError(f"{path} has the format {manifest.format!r}; use the program it is from")
    return manifest


def copy_parts(path: Path, place: Callable[[str], IO[bytes]] | None = None) -> Manifest:
    """Read a whole backup and see that every part is as the manifest says.

    Args:
        place: opens a file to write a part to, by its name; without, nothing is written.

    Raises:
        BackupError: a part is missing, damaged, or has no place in a backup.
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
                raise BackupError(f"{path} holds {entry.name!r}, which has no place in a backup")
            seen.add(entry.name)
            source = tar.extractfile(entry)
            assert source is not None  # noqa: S101 - it is a regular file
            if place is None:
                found = hashed(source, None)
            else:
                with place(entry.name) as target:
                    found = hashed(source, target)
            if found != part:
                raise BackupError(f"{path}: {entry.name} is damaged; use another backup")
    lost = manifest.parts.keys() - seen
    if lost or DATABASE not in seen:
        raise BackupError(f"{path} lacks {min(lost, default=DATABASE)}; use another backup")
    return manifest


def hashed(source: IO[bytes], target: IO[bytes] | None) -> Part:
    """Read a file to its end, copying it on the way; its size and hash."""
    digest = hashlib.sha256()
    size_bytes = 0
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
        if target is not None:
            target.write(chunk)
    return Part(bytes=size_bytes, sha256=digest.hexdigest())
