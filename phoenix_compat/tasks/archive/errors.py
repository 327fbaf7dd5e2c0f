"""Why a file could not be kept. The texts are for logs and operators, never for clients.

ArchiveError                 `reason` is a stable word, `is_temporary` says whether to try again
├─ ArchiveFullError          no room, or none that may be used; nothing was left behind
├─ ArchiveFolderError        the folder cannot be written or read
├─ HostRefusedError          its address, or one it redirects to, is none we fetch from
├─ FileGoneError             the host says no: 403, 404, 410 and their like
├─ FileUnreachableError      5xx, a broken connection, silence: the file may well be there
├─ FileTooLargeError
└─ WrongFileError            empty, a web page, or nothing that such a task makes
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.archive.stored_file import StoredFile


class ArchiveError(TaskError):
    """A file was not kept.

    Attributes:
        reason: a stable word, for counters.
        is_temporary: whether the same call may succeed later.
        kept: what became of each URL of the call, in its order; None where nothing was kept.
    """

    reason: str = "failed"
    is_temporary: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.kept: tuple[StoredFile | None, ...] = ()


class ArchiveFullError(ArchiveError):
    """The disk, or the part of it that may be used, is full."""

    reason = "full"
    is_temporary = True


class ArchiveFolderError(ArchiveError):
    """The folder cannot be used; the text says which, and why."""

    reason = "folder"
    is_temporary = True


class HostRefusedError(ArchiveError):
    """The address is not one that files are fetched from."""

    reason = "host_refused"


class FileGoneError(ArchiveError):
    """The host answers that it will not give this file."""

    reason = "gone"

    def __init__(self, host: str, status: int) -> None:
        super().__init__(f"{host} answers {status}")
        self.status = status


class FileUnreachableError(ArchiveError):
    """The file could not be fetched this time: server_error, broken, stalled or timed_out."""

    is_temporary = True

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FileTooLargeError(ArchiveError):
    """The file has more bytes than are kept."""

    reason = "too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the file has more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class WrongFileError(ArchiveError):
    """The bytes are nothing that such a task makes: empty, html, wrong_type or malformed."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def disk_errors(folder: object) -> Iterator[None]:
    """Turn what the operating system says about the folder into an error of the archive."""
    try:
        yield
    except OSError as error:
        what = error.strerror or type(error).__name__
        if error.errno in _FULL:
            raise ArchiveFullError(
                f"no room for pictures in {folder}: {what}; free some, or let older ones be pruned"
            ) from error
        raise ArchiveFolderError(f"cannot use the picture folder {folder}: {what}") from error
