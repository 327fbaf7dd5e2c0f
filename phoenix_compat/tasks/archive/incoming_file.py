"""A file that is being downloaded, under a temporary name, hashed as it grows.

The methods block, so call them in a thread. `discard` waits for a running write, so a cancelled
download leaves no open or unfinished file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from phoenix_compat.private_files import open_private, write_all
from phoenix_compat.tasks.archive.errors import ArchiveFolderError, disk_errors
from phoenix_compat.tasks.archive.file_type import HEAD_BYTES


class IncomingFile:
    """A file on its way into the archive. It is created on disk with its first bytes.

    Attributes:
        path: the temporary path.
        head: the first bytes, for `file_type`.
    """

    def __init__(self, folder: Path, check_free_space: Callable[[int], None]) -> None:
        """Choose a temporary name; nothing is created yet.

        Args:
            folder: for the temporary file, on the same filesystem as the archive.
            check_free_space: raises ArchiveFullError when that many more bytes do not fit.
        """
        self.path = folder / f"{secrets.token_hex(16)}.part"
        self.check_free_space = check_free_space
        self.size_bytes = 0
        self.head = b""
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._is_closed = False
        self._is_finished = False
        self._lock = threading.Lock()

    @property
    def sha256(self) -> str:
        """The hash of the bytes so far, 64 hex digits."""
        return self._hash.hexdigest()

    def write(self, content: bytes) -> None:
        """Append bytes.

        Raises:
            ArchiveFullError: there is no space for them.
            ArchiveFolderError: the folder cannot be written, or the file was discarded.
        """
        with self._lock, disk_errors(self.path.parent):
            self.check_free_space(len(content))
            write_all(self._opened(), content)
            self._hash.update(content)
            self.head += content[: HEAD_BYTES - len(self.head)]
            self.size_bytes += len(content)

    def rewind(self) -> None:
        """Start again from the beginning: drop the bytes so far."""
        with self._lock, disk_errors(self.path.parent):
            if self._file is not None:
                self._file.seek(0)
                self._file.truncate()
            self._hash = hashlib.sha256()
            self.head = b""
            self.size_bytes = 0

    def finish(self) -> None:
        """Sync and close the file; it keeps its temporary name. It may be finished already."""
        with self._lock, disk_errors(self.path.parent):
            if self._is_finished:
                return
            file = self._opened()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._file = None
            self._is_closed = self._is_finished = True

    def discard(self) -> None:
        """Close the file and remove it, unless it has been renamed."""
        with self._lock:
            self._is_closed, self._is_finished = True, False
            if self._file is not None:
                # The content is deleted anyway.
                with contextlib.suppress(OSError):
                    self._file.close()
                self._file = None
            # A file that cannot be deleted now is deleted when the archive is opened again.
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _opened(self) -> IO[bytes]:
        if self._is_closed:
            raise ArchiveFolderError(f"{self.path.name} has been closed")
        if self._file is None:
            # Unbuffered: blocks are large, and a full disk is noticed at once.
            self._file = open_private(self.path, "xb", is_buffered=False)
        return self._file
