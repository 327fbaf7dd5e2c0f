"""The archive's errors. Their texts are for operators, RefusedFileError's for clients.

ArchiveError                 `reason` is a stable word, `is_temporary` says whether to try again
├─ ArchiveFullError          the disk or the archive's limit is full; nothing was stored
├─ ArchiveFolderError        the folder cannot be written or read
├─ FileStoreError            the server that keeps the files does not answer, or refuses
├─ HostRefusedError          the URL, or one it redirects to, is not on an allowed host
├─ FileGoneError             the host refuses the file: 403, 404, 410 and the like
├─ FileUnreachableError      5xx, a failed connection or a timeout: the file may still be there
├─ FileTooLargeError
├─ WrongFileError            empty, a web page, or a file type that the task must not have
└─ RefusedFileError          a file that a client sent is not accepted
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.archive.stored_file import StoredFile
from phoenix_compat.tasks.model.errors import FilesUnavailableError


class ArchiveError(TaskError):
    """A file was not stored.

    Attributes:
        reason: a stable word, for counters.
        is_temporary: whether the same call may succeed later.
        kept: the stored file for each URL of the call, in the same order; None for failures.
    """

    reason: str = "failed"
    is_temporary: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.kept: tuple[StoredFile | None, ...] = ()


class ArchiveFullError(ArchiveError):
    """The disk is full, or the archive's limit is reached."""

    reason = "full"
    is_temporary = True


class ArchiveFolderError(ArchiveError):
    """The folder cannot be used; the text names it and gives the reason."""

    reason = "folder"
    is_temporary = True


class FileStoreError(ArchiveError, FilesUnavailableError):
    """The server that keeps the files does not answer, or refuses; the text says which and why."""

    reason = "store"
    is_temporary = True


class HostRefusedError(ArchiveError):
    """The URL is not on an allowed host."""

    reason = "host_refused"


class FileGoneError(ArchiveError):
    """The host refuses to send this file."""

    reason = "gone"

    def __init__(self, host: str, status: int) -> None:
        super().__init__(f"{host} answered {status}")
        self.status = status


class FileUnreachableError(ArchiveError):
    """The download failed; `reason` is server_error, broken, stalled or timed_out."""

    is_temporary = True

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FileTooLargeError(ArchiveError):
    """The file is larger than the limit."""

    reason = "too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the file is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class WrongFileError(ArchiveError):
    """The content is not acceptable; `reason` is empty, html, wrong_type or malformed."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RefusedFileError(ArchiveError):
    """A file that a client sent is not accepted; the text tells the client why.

    `reason` is empty, wrong_type, broken or too_many_pixels.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def disk_errors(folder: object) -> Iterator[None]:
    """Convert OSErrors about the folder to errors of the archive."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or type(error).__name__
        if error.errno in _DISK_FULL:
            raise ArchiveFullError(
                f"cannot write to {folder}: {cause}; free disk space or prune old files"
            ) from error
        raise ArchiveFolderError(f"cannot use the folder {folder}: {cause}") from error
