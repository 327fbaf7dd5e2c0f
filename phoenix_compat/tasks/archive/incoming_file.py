"""A file that is still arriving: hashed as it grows, and under no name that anyone looks for.

Blocking: every method is for a thread. Discarding waits for a write in hand, so a download that is
cancelled leaves neither an open file nor half of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from phoenix_compat.tasks.archive.errors import ArchiveFolderError, disk_errors
from phoenix_compat.tasks.archive.file_type import HEAD_BYTES


class IncomingFile:
    """One file on its way into the archive; it is made on disk with its first bytes.

    Attributes:
        head: the first bytes, for telling what it is.
    """

    def __init__(self, folder: Path, check_room: Callable[[int], None]) -> None:
        """Do nothing yet.

        Args:
            folder: where it waits, on the same filesystem as the archive.
            check_room: raises ArchiveFullError when so many bytes more are too many.
        """
        self.path = folder / f"{secrets.token_hex(16)}.part"
        self.check_room = check_room
        self.size_bytes = 0
        self.head = b""
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._is_over = False
        self._lock = threading.Lock()

    @property
    def sha256(self) -> str:
        """The hash of what has arrived, 64 hex digits."""
        return self._hash.hexdigest()

    def write(self, content: bytes) -> None:
        """Add bytes.

        Raises:
            ArchiveFullError: there is no room for them.
            ArchiveFolderError: the folder cannot be written, or the file was discarded.
        """
        with self._lock, disk_errors(self.path.parent):
            self.check_room(len(content))
            _write_all(self._opened(), content)
            self._hash.update(content)
            self.head += content[: HEAD_BYTES - len(self.head)]
            self.size_bytes += len(content)

    def rewind(self) -> None:
        """Begin anew: what has arrived is forgotten."""
        with self._lock, disk_errors(self.path.parent):
            if self._file is not None:
                self._file.seek(0)
                self._file.truncate()
            self._hash = hashlib.sha256()
            self.head = b""
            self.size_bytes = 0

    def finish(self) -> None:
        """Make the bytes durable and close the file; it keeps its hidden name."""
        with self._lock, disk_errors(self.path.parent):
            file = self._opened()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._file = None
            self._is_over = True

    def discard(self) -> None:
        """Close the file and remove it, unless it has been renamed."""
        with self._lock:
            self._is_over = True
            if self._file is not None:
                # What could not be flushed is thrown away anyway.
                with contextlib.suppress(OSError):
                    self._file.close()
                self._file = None
            # What cannot be removed now is removed when the archive is opened again.
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _opened(self) -> BinaryIO:
        if self._is_over:
            raise ArchiveFolderError(f"{self.path.name} has been closed")
        if self._file is None:
            # Unbuffered: blocks are large, and a full disk shows at once.
            self._file = self.path.open("xb", buffering=0)
        return self._file


def _write_all(file: BinaryIO, content: bytes) -> None:
    # A disk that is nearly full takes a part and says so by the count alone.
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
