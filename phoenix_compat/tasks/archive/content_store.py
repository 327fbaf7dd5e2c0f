"""Stores files on disk by the hash of their content, durably, and prunes the oldest ones.

    <folder>/ab/cd/<sha256>.<ext>                   ab and cd are the first digits of the hash
    <folder>/thumbnails/ab/cd/<sha256>.webp         the thumbnail of the file with that hash
    <folder>/incoming/*.part                        unfinished files; `open` deletes old ones

A file gets its name only when it is complete and synced. Its modification time is the time when it
was last kept. The methods block, so call them in a thread; a lock serialises changes.

Several servers may share a folder that all have mounted. Then no lock helps: whoever deletes a file
takes its name away first, and gives it back if the file was kept again meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from phoenix_compat.private_files import make_private_folder
from phoenix_compat.tasks.archive.errors import ArchiveFullError, disk_errors
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION, FileType
from phoenix_compat.tasks.archive.incoming_file import IncomingFile
from phoenix_compat.tasks.disk import fsync_path
from phoenix_compat.tasks.model.clock import Clock, SystemClock

THUMBNAIL_EXTENSION = "webp"
UNFINISHED_S: Final = 86_400.0
"""At this age an unfinished file in a shared folder is deleted: nobody is writing it any more."""

_ANY_FILE = "[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"
FILE_NAME: Final = re.compile(r"([0-9a-f]{64})(?:\.([a-z0-9]{1,5}))?")
"""A hash, with or without an extension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentStoreLimits:
    """Limits of the store; see `Archive`."""

    max_total_bytes: int | None
    min_free_bytes: int
    grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPath:
    """A stored file. `is_new`: it was not stored before."""

    path: Path
    relative: str
    sha256: str
    size_bytes: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    thumbnail: Path
    size_bytes: int
    modified_s: float


class ContentStore:
    """A folder of files that are named by the hash of their content."""

    def __init__(
        self, folder: Path, limits: ContentStoreLimits, clock: Clock, *, is_shared: bool = False
    ) -> None:
        """Create the store; `open` makes it ready.

        Args:
            is_shared: whether other servers write into the folder too.
        """
        self.is_shared = is_shared
        self._token = secrets.token_hex(8)
        self._folder = folder
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self.total_bytes = 0
        self.pruned = 0

    @classmethod
    def reading(cls, folder: Path) -> Self:
        """The files in a folder, only to find them; it need not exist."""
        limits = ContentStoreLimits(max_total_bytes=None, min_free_bytes=0, grace_s=0.0)
        return cls(folder, limits, SystemClock())

    def open(self) -> None:
        """Create the folders, delete unfinished files, and sum up the sizes.

        Raises:
            ArchiveFolderError: the folder cannot be used.
        """
        with self._lock, disk_errors(self._folder):
            make_private_folder(self._incoming_folder)
            for leftover in self._incoming_folder.iterdir():
                if not self.is_shared or _is_abandoned(leftover):
                    leftover.unlink(missing_ok=True)
            self.total_bytes = sum(entry.size_bytes for entry in self._entries())

    def set_max_total_bytes(self, max_total_bytes: int | None) -> None:
        """Change the limit, from the next file on. Does not block."""
        self._limits = replace(self._limits, max_total_bytes=max_total_bytes)

    def incoming(self) -> IncomingFile:
        """A new file, which is not on disk yet. Does not block."""
        return IncomingFile(self._incoming_folder, self.check_free_space)

    def check_free_space(self, more_bytes: int) -> None:
        """Check that the disk has space for more bytes beyond what must stay free.

        Raises:
            ArchiveFullError: it has not.
        """
        with disk_errors(self._folder):
            free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes - more_bytes < self._limits.min_free_bytes:
            raise ArchiveFullError(
                f"{self._folder} has {free_bytes} bytes free, and {self._limits.min_free_bytes} "
                "must stay free; free disk space or prune old files"
            )

    def commit(self, incoming: IncomingFile, file_type: FileType) -> StoredPath:
        """Give a complete file its name; it is durable when this returns.

        A stored file with this name but other content is damaged and gets replaced.

        Raises:
            ArchiveFullError: it does not fit, and no file is old enough to be pruned.
            ArchiveFolderError: the folder cannot be written.
        """
        sha256, size_bytes = incoming.sha256, incoming.size_bytes
        path = self._path(sha256, file_type.extension)
        incoming.finish()
        with self._lock, disk_errors(self._folder):
            is_new = not (_has_content(path, sha256) and self._set_modified_time(path))
            if is_new:
                self._prune_to_fit(size_bytes)
                self._move(incoming, path)
                self._set_modified_time(path)
        return StoredPath(
            path=path,
            relative=self._relative(path),
            sha256=sha256,
            size_bytes=size_bytes,
            is_new=is_new,
        )

    def touch(self, sha256: str) -> bool:
        """Count a file as kept now, so that it is not pruned soon; returns whether it is there.

        Raises:
            ArchiveFolderError: the folder cannot be used.
        """
        with self._lock, disk_errors(self._folder):
            path = self.find(sha256)
            return path is not None and self._set_modified_time(path)

    def add_thumbnail(self, sha256: str, content: bytes) -> str:
        """Store the thumbnail of a file; returns its path relative to the folder.

        Raises:
            ArchiveError: it cannot be written.
        """
        path = self._thumbnail_path(sha256)
        incoming = self.incoming()
        try:
            incoming.write(content)
            incoming.finish()
            with self._lock, disk_errors(self._folder):
                self._move(incoming, path)
        finally:
            incoming.discard()
        return self._relative(path)

    def thumbnail(self, sha256: str) -> str | None:
        """The path of a file's thumbnail relative to the folder, if there is one."""
        path = self._thumbnail_path(sha256)
        return self._relative(path) if _is_regular_file(path) else None

    def find(self, name: str, *, is_thumbnail: bool = False) -> Path | None:
        """The path of a file by hash or name; None when there is none or the name is invalid."""
        match = FILE_NAME.fullmatch(name)
        if match is None:
            return None
        sha256, extension = match.groups()
        extensions = {THUMBNAIL_EXTENSION} if is_thumbnail else set(TYPES_BY_EXTENSION)
        for known in extensions if extension is None else extensions & {extension}:
            path = self._thumbnail_path(sha256) if is_thumbnail else self._path(sha256, known)
            if _is_regular_file(path):
                return path
        return None

    def prune(self, older_than_s: float | None, keep_bytes: int | None) -> int:
        """Delete the oldest files; see `Archive.prune`."""
        with self._lock, disk_errors(self._folder):
            return self._prune(older_than_s, keep_bytes)

    def old_hashes(self, older_than_s: float) -> list[str]:
        """The hashes of files that were kept longer ago."""
        with disk_errors(self._folder):
            return [one.path.stem for one in self._entries() if self._age_s(one) > older_than_s]

    def discard(self, hashes: Iterable[str], min_age_s: float | None = None) -> int:
        """Delete files with their thumbnails; returns the freed bytes.

        A file within the grace period is left alone, since another task may just have kept it. The
        names are gone from the disk when this returns: the tasks that had them are deleted next.

        Args:
            min_age_s: takes the place of the grace period.
        """
        grace_s = self._limits.grace_s if min_age_s is None else min_age_s
        freed_bytes = 0
        folders: set[Path] = set()
        for sha256 in hashes:
            with self._lock, disk_errors(self._folder):
                for entry in tuple(self._entries_of(sha256)):
                    if self._age_s(entry) >= grace_s and self._delete(entry, grace_s):
                        freed_bytes += entry.size_bytes
                        folders |= {entry.path.parent, entry.thumbnail.parent}
        with disk_errors(self._folder):
            for folder in folders:
                if folder.exists():  # a file without thumbnail may be alone
                    fsync_path(folder)
        return freed_bytes

    @property
    def _incoming_folder(self) -> Path:
        return self._folder / "incoming"

    def _path(self, sha256: str, extension: str) -> Path:
        return self._folder / sha256[:2] / sha256[2:4] / f"{sha256}.{extension}"

    def _thumbnail_path(self, sha256: str) -> Path:
        name = f"{sha256}.{THUMBNAIL_EXTENSION}"
        return self._folder / "thumbnails" / sha256[:2] / sha256[2:4] / name

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _move(self, incoming: IncomingFile, path: Path) -> None:
        size_bytes = incoming.size_bytes - _size_bytes(path)
        for folder in make_private_folder(path.parent):
            fsync_path(folder.parent)
        incoming.path.replace(path)
        # Syncing the folder makes the name durable.
        fsync_path(path.parent)
        self.total_bytes += size_bytes

    def _set_modified_time(self, path: Path) -> bool:
        """Count a file as kept now; returns False if another server has just deleted it."""
        now_s = self._clock.now().timestamp()
        try:
            os.utime(path, (now_s, now_s))
        except FileNotFoundError:
            return False
        return True

    def _prune_to_fit(self, more_bytes: int) -> None:
        limit = self._limits.max_total_bytes
        if limit is None or self.total_bytes + more_bytes <= limit:
            return
        self._prune(None, max(limit - more_bytes, 0))
        if self.total_bytes + more_bytes > limit:
            raise ArchiveFullError(
                f"the archive has {self.total_bytes} of at most {limit} bytes, and no file is old "
                "enough to be pruned; raise the limit or delete files"
            )

    def _prune(self, older_than_s: float | None, keep_bytes: int | None) -> int:
        entries = sorted(self._entries(), key=lambda entry: entry.modified_s)
        self.total_bytes = sum(entry.size_bytes for entry in entries)
        pruned_before = self.pruned
        for entry in entries:
            age_s = self._age_s(entry)
            is_old = older_than_s is not None and age_s > older_than_s
            is_surplus = keep_bytes is not None and self.total_bytes > keep_bytes
            if age_s < self._limits.grace_s or not (is_old or is_surplus):
                break
            self._delete(entry, self._limits.grace_s)
        return self.pruned - pruned_before

    def _delete(self, entry: _Entry, grace_s: float) -> bool:
        """Delete a file; returns False if another server kept or deleted it meanwhile."""
        if self.is_shared and not self._take_away(entry, grace_s):
            return False
        # The thumbnail goes first, so that a crash in between leaves no thumbnail without its file.
        entry.thumbnail.unlink(missing_ok=True)
        self._doomed(entry).unlink()
        self.total_bytes -= entry.size_bytes
        self.pruned += 1
        return True

    def _take_away(self, entry: _Entry, grace_s: float) -> bool:
        doomed = self._doomed(entry)
        try:
            entry.path.replace(doomed)
            modified_s = doomed.lstat().st_mtime
        except FileNotFoundError:
            return False
        if self._clock.now().timestamp() - modified_s >= grace_s:
            return True
        doomed.replace(entry.path)
        return False

    def _doomed(self, entry: _Entry) -> Path:
        """Where a file is while it is being deleted."""
        if not self.is_shared:
            return entry.path
        return self._incoming_folder / f"{entry.path.name}.{self._token}.part"

    def _age_s(self, entry: _Entry) -> float:
        return self._clock.now().timestamp() - entry.modified_s

    def _entries_of(self, sha256: str) -> Iterator[_Entry]:
        if FILE_NAME.fullmatch(sha256) is not None:
            yield from self._entries(f"{sha256[:2]}/{sha256[2:4]}/{sha256}.*")

    def _entries(self, pattern: str = _ANY_FILE) -> Iterator[_Entry]:
        for path in self._folder.glob(pattern):
            match = FILE_NAME.fullmatch(path.name)
            if match is None:
                continue
            thumbnail = self._thumbnail_path(match[1])
            try:
                stat = path.lstat()
            except FileNotFoundError:
                continue  # another server has just deleted it
            yield _Entry(path, thumbnail, stat.st_size + _size_bytes(thumbnail), stat.st_mtime)


def _size_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _is_abandoned(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.lstat().st_mtime > UNFINISHED_S
    return False


def _is_regular_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _has_content(path: Path, sha256: str) -> bool:
    if not _is_regular_file(path):
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
