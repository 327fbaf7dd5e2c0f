"""What the archive needs of a place for files that are named by the hash of their content.

A place holds for each file `ab/cd/<sha256>.<ext>`, and for pictures
`thumbnails/ab/cd/<sha256>.webp`. A file is there as a whole or not at all, and never changes. Files
arrive in a folder of this machine first (`IncomingFile`), wherever they are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from phoenix_compat.tasks.archive.content_store import StoredPath
from phoenix_compat.tasks.archive.file_type import FileType
from phoenix_compat.tasks.archive.incoming_file import IncomingFile

BATCH_SIZE: Final = 500
"""Hashes that `FileStore.old_hashes` yields together."""


class RemoteFile(Protocol):
    """A file that is on another machine.

    Attributes:
        name: its last part, "<sha256>.<ext>".
        modified_at: when it was stored.
    """

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def modified_at(self) -> datetime: ...

    def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `end`, in blocks.

        Raises:
            FileStoreError: they cannot be read; some may have been yielded.
            FileNotFoundError: the file is gone.
        """
        ...


FoundFile: TypeAlias = Path | RemoteFile
"""A stored file: where it is on this machine, or how it is read."""


class FileStore(Protocol):
    """A place for files. Every method may raise FileStoreError, or for folders ArchiveFolderError.

    Attributes:
        is_shared: whether other servers write there too.
        total_bytes: the size of all files; of a shared place as of the last `prune` of this
            process, and what it stored since then.
        pruned: how many files this process has deleted.
        requests: of a remote place, what was asked and how it went, as in "put", "retried" and
            "failed".
    """

    is_shared: bool
    requests: Counter[str]

    @property
    def total_bytes(self) -> int: ...

    @property
    def pruned(self) -> int: ...

    async def open(self) -> None:
        """Get ready to write: create folders, delete unfinished files."""
        ...

    def incoming(self) -> IncomingFile:
        """A new file, which is not on disk yet. Does not block."""
        ...

    def check_free_space(self, more_bytes: int) -> None:
        """Check that files can arrive on this machine. Blocks; raises ArchiveFullError."""
        ...

    def set_max_total_bytes(self, max_total_bytes: int | None) -> None:
        """Change the limit for all files, from the next file on."""
        ...

    async def commit(self, incoming: IncomingFile, file_type: FileType) -> StoredPath:
        """Keep a complete file; it is durable when this returns, and counts as kept now.

        The path in the result can be read until the incoming file is discarded.

        Raises:
            ArchiveFullError: it does not fit, and no file is old enough to be pruned.
        """
        ...

    async def touch(self, sha256: str) -> bool:
        """Count a file as kept now, so that it is not pruned soon; returns whether it is there."""
        ...

    async def add_thumbnail(self, sha256: str, content: bytes) -> str:
        """Keep the thumbnail of a file; returns its path below the place."""
        ...

    async def thumbnail(self, sha256: str) -> str | None:
        """The path of a file's thumbnail below the place, if there is one."""
        ...

    async def find(self, name: str, *, is_thumbnail: bool = False) -> FoundFile | None:
        """A file by hash or name; None when there is none or the name is invalid."""
        ...

    async def fetch(self, sha256: str, target: Path) -> None:
        """Write the content of a file that is not on this machine to a path.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    async def prune(self, older_than_s: float | None, keep_bytes: int | None) -> int:
        """Delete the oldest files; see `Archive.prune`."""
        ...

    async def discard(self, hashes: Iterable[str], min_age_s: float | None = None) -> int:
        """Delete files with their thumbnails; returns the freed bytes, where they are known.

        A file that was kept within the grace period, or `min_age_s`, is left alone.
        """
        ...

    def old_hashes(self, older_than_s: float) -> AsyncIterator[frozenset[str]]:
        """The hashes of files that were kept longer ago, in batches."""
        ...
