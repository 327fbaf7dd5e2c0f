"""An append-only file of JSON lines that is rewritten from time to time; it knows no predictions.

Lines that were flushed are on the disk and survive a power cut. A damaged line loses no other line,
even if it is the header. A caller never gets an error: problems with the file are logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import structlog

from phoenix_compat.emulator.json_type import JSON, JsonObject
from phoenix_compat.private_files import FILE_MODE, fsync_path, make_private_folder

if sys.platform != "win32":
    import fcntl

Entry: TypeAlias = Callable[[], JsonObject]
"""Builds the object of one line. It runs in the log's thread, so it may be slow, and may fail."""

log = structlog.stdlib.get_logger(__name__)

# The most that a rewrite writes, and how much may be appended before the next one.
MAX_REWRITTEN_BYTES = 16 * 2**20
_MAX_APPENDED_BYTES = 2**20
# Twice the rewritten size, the appended lines, and one entry with the largest body.
_MAX_FILE_BYTES = 2 * MAX_REWRITTEN_BYTES + _MAX_APPENDED_BYTES + 16 * 2**20

# Raised by Python's JSON when it reads or writes; pydantic's errors are ValueErrors too.
_JSON_ERRORS = (ValueError, RecursionError)
_MAX_HEADER_BYTES = 1000
_CLOSED = -1
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT


class JsonLinesLog:
    """The file and the one thread that works on it, in the order of the calls.

    Args:
        header: the first line. A file that begins with another one is renamed to `<name>.odd`.
        kinds: each entry has one of these keys. By them the lines of a file are recognized whose
            header cannot be read; they are kept.
    """

    def __init__(self, path: Path, header: JsonObject, kinds: Collection[str] = ()) -> None:
        self._path = path
        self._header = header
        self._kinds = frozenset(kinds)
        # One thread keeps the lines in order. Its queue is bounded by callers that await `flush`.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="json_log")
        self._last: Future[None] | None = None
        self._file = _CLOSED
        self._size_bytes = 0
        self._rewritten_bytes = 0
        self._is_failing = False
        self._is_synced = True

    @property
    def needs_rewrite(self) -> bool:
        """True when most of the file is out of date."""
        return self._size_bytes > 2 * self._rewritten_bytes + _MAX_APPENDED_BYTES

    async def open(self) -> list[JSON]:
        """Open or create the file. Returns its entries, with None for each unreadable line."""
        return await asyncio.wrap_future(self._writer.submit(self._open))

    def append(self, entry: Entry) -> None:
        """Add a line; returns before it is written."""
        self._last = self._writer.submit(self._attempt, lambda: self._append(_line(entry)))

    def rewrite(self, newest_first: Sequence[Entry]) -> None:
        """Replace the content by these entries; the oldest are left out when they do not fit."""
        self._last = self._writer.submit(self._attempt, lambda: self._replace(newest_first))

    async def flush(self) -> None:
        """Return when everything appended so far is on the disk, or has failed."""
        if self._last is not None:
            syncing = self._writer.submit(self._attempt, self._sync)
            # Shielded: a client that disconnects must not cancel the write.
            await asyncio.shield(asyncio.wrap_future(syncing))

    async def close(self) -> None:
        """Write what is queued, and close the file."""
        self._writer.submit(self._close_file)
        await asyncio.to_thread(self._writer.shutdown)

    def _attempt(self, operation: Callable[[], None]) -> None:
        if self._file == _CLOSED:
            return
        try:
            operation()
        except (OSError, *_JSON_ERRORS) as error:
            # A full disk is logged once, not for each line.
            if not self._is_failing:
                self._log_failure(error)
            self._is_failing = True
        else:
            self._is_failing = False

    def _log_failure(self, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        log.warning("emulator.state_not_saved", file=str(self._path), reason=reason)

    def _open(self) -> list[JSON]:
        try:
            make_private_folder(self._path.parent)
            self._file = _open_locked(self._path)
            if problem := self._problem():
                self._set_aside(problem)
            return self._read()
        except OSError as error:
            self._log_failure(error)
            self._close_file()
            return []

    def _problem(self) -> str | None:
        """Why the file is not one of ours; None for a valid file and for an empty one."""
        size_bytes = self._path.stat().st_size
        if size_bytes > _MAX_FILE_BYTES:
            return f"the file has {size_bytes} bytes, more than {_MAX_FILE_BYTES}"
        with self._path.open("rb") as file:
            head, end, _ = file.read(_MAX_HEADER_BYTES).partition(b"\n")
        # Without a line end, the file is a header whose writing was interrupted.
        is_ours = _parsed(head) == self._header if end else self._header_line().startswith(head)
        return None if is_ours else "the file does not begin with the emulator's header line"

    def _set_aside(self, problem: str) -> None:
        aside = self._path.with_name(self._path.name + ".odd")
        kept = self._lines_without_header()
        self._close_file()
        self._path.replace(aside)
        log.warning(
            "emulator.state_file_set_aside",
            file=str(self._path),
            reason=problem,
            moved_to=str(aside),
            kept_lines=len(kept),
        )
        self._file = _open_locked(self._path)
        if kept:
            _write(self._file, b"\n".join([self._header_line().rstrip(), *kept, b""]))

    def _lines_without_header(self) -> list[bytes]:
        """The entries of a file of ours whose header cannot be read."""
        if self._path.stat().st_size > _MAX_FILE_BYTES:
            return []
        head, *lines = self._path.read_bytes().split(b"\n")
        if _parsed(head) is not None:  # a file of another program or version
            return []
        return [line for line in lines if self._is_entry(_parsed(line))]

    def _is_entry(self, value: JSON) -> bool:
        return isinstance(value, dict) and not self._kinds.isdisjoint(value)

    def _read(self) -> list[JSON]:
        whole, end, _ = self._path.read_bytes().rpartition(b"\n")
        self._size_bytes = self._rewritten_bytes = len(whole) + len(end)
        # A last line without its end was being written when the process died.
        os.ftruncate(self._file, self._size_bytes)
        if not end:
            self._append(self._header_line())
        return [_parsed(line) for line in whole.split(b"\n")[1:]]

    def _append(self, text: bytes) -> None:
        try:
            _write(self._file, text)
        except OSError:
            # A partial line would corrupt the next one.
            os.ftruncate(self._file, self._size_bytes)
            raise
        self._size_bytes += len(text)
        self._is_synced = False

    def _sync(self) -> None:
        """Force the file to the disk, once for all that was appended since the last time."""
        if not self._is_synced:
            os.fsync(self._file)
            self._is_synced = True

    def _replace(self, newest_first: Sequence[Entry]) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        text = b"".join([self._header_line(), *_newest(newest_first)[::-1]])
        file = _open_locked(fresh)
        try:
            _write(file, text)
            os.fsync(file)
            fresh.replace(self._path)
        except OSError:
            os.close(file)
            fresh.unlink(missing_ok=True)
            raise
        self._close_file()
        self._file = file
        self._size_bytes = self._rewritten_bytes = len(text)
        self._is_synced = True
        fsync_path(self._path.parent)

    def _header_line(self) -> bytes:
        return _line(lambda: self._header)

    def _close_file(self) -> None:
        if self._file != _CLOSED:
            os.close(self._file)
            self._file = _CLOSED


def _open_locked(path: Path) -> int:
    """Open a file that only its owner can read, and lock it against other emulators.

    Raises:
        OSError: the file cannot be opened, is not a regular file, or is locked.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file")
    file = os.open(path, _FLAGS, FILE_MODE)
    try:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The other process may have replaced the file between the opening and the locking.
        if not os.path.samestat(os.fstat(file), path.stat()):
            raise BlockingIOError
    except OSError as error:
        os.close(file)
        if isinstance(error, BlockingIOError):
            raise OSError(errno.EBUSY, "another process is using it") from error
        raise
    return file


def _write(file: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(file, rest) :]


def _newest(newest_first: Sequence[Entry]) -> list[bytes]:
    lines: list[bytes] = []
    left_bytes = MAX_REWRITTEN_BYTES
    for entry in newest_first:
        # An entry that cannot be encoded was logged when it was appended.
        with contextlib.suppress(*_JSON_ERRORS):
            line = _line(entry)
            left_bytes -= len(line)
            if left_bytes < 0:
                break
            lines.append(line)
    return lines


def _line(entry: Entry) -> bytes:
    # Python's own JSON can write and read infinity and lone surrogates.
    return json.dumps(entry(), default=plain).encode() + b"\n"


def plain(value: object) -> JSON:
    """Convert what `json.dumps` cannot encode: enums, sets (sorted) and dataclasses."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} cannot be encoded as JSON")


def _parsed(line: bytes) -> JSON:
    """The value of a line; None when it is not valid JSON."""
    try:
        return json.loads(line)
    except _JSON_ERRORS:
        return None
