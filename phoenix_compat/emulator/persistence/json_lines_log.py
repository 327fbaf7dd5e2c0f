"""A file of JSON lines that is added to and now and then written anew; it knows no prediction.

What was noted survives the process, SIGKILL too. It is not forced to the disk: a power cut may cost
the last seconds. Whatever is wrong with the file, nobody who notes something fails: it is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import structlog

from phoenix_compat.emulator.json_type import JSON, JsonObject

if sys.platform != "win32":
    import fcntl

Entry: TypeAlias = Callable[[], JsonObject]
"""Makes a line's object, in the json log's thread: that may take a while, and may fail."""

log = structlog.stdlib.get_logger(__name__)

# What is worth keeping at most, and how much more may be added before it is written anew.
MAX_KEPT_BYTES = 16 * 2**20
_MAX_ADDED_BYTES = 2**20
# Twice what is kept, what may be added, and one entry of the largest body.
_MAX_FILE_BYTES = 2 * MAX_KEPT_BYTES + _MAX_ADDED_BYTES + 16 * 2**20

# What Python's JSON refuses, either way; pydantic's errors are ValueErrors too.
_NO_JSON = (ValueError, RecursionError)
_MAX_TITLE_BYTES = 1000
_NONE = -1
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT


class JsonLinesLog:
    """The file, worked on by one thread, in the order in which it was asked to.

    Args:
        title: the first line; a file that begins otherwise is set aside as `<name>.odd`.
    """

    def __init__(self, path: Path, title: JsonObject) -> None:
        self._path = path
        self._title = title
        # One thread, so that lines come in order; whoever notes much waits in `settled`.
        self._pen = ThreadPoolExecutor(1, thread_name_prefix="json_log")
        self._last: Future[None] | None = None
        self._file = _NONE
        self._size_bytes = 0
        self._kept_bytes = 0
        self._is_failing = False

    @property
    def is_grown(self) -> bool:
        """True when it should be written anew: most of it is of no more use."""
        return self._size_bytes > 2 * self._kept_bytes + _MAX_ADDED_BYTES

    async def open(self) -> list[JSON]:
        """Take the file, or begin it. Returns its entries, None for each that cannot be read."""
        return await asyncio.wrap_future(self._pen.submit(self._open))

    def note(self, entry: Entry) -> None:
        """Add a line, soon."""
        self._last = self._pen.submit(self._attempt, lambda: self._append(_line(entry)))

    def rewrite(self, newest_first: Sequence[Entry]) -> None:
        """Put these in the place of all noted so far; the oldest are left out if it is too much."""
        self._last = self._pen.submit(self._attempt, lambda: self._replace(newest_first))

    async def settled(self) -> None:
        """Return when everything noted so far is in the file, or was found not to get there."""
        if self._last is not None:
            # Shielded: a client that leaves must not take its note with it.
            await asyncio.shield(asyncio.wrap_future(self._last))

    async def close(self) -> None:
        """Write what is left, and let the file go."""
        self._pen.submit(self._let_go)
        await asyncio.to_thread(self._pen.shutdown)

    def _attempt(self, deed: Callable[[], None]) -> None:
        if self._file == _NONE:
            return
        try:
            deed()
        except (OSError, *_NO_JSON) as error:
            # Once for a full disk, not once for each line.
            if not self._is_failing:
                self._complain(error)
            self._is_failing = True
        else:
            self._is_failing = False

    def _complain(self, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        log.warning("emulator.not_remembered", file=str(self._path), reason=reason)

    def _open(self) -> list[JSON]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _take(self._path)
            if problem := self._problem():
                self._begin_anew(problem)
            return self._read()
        except OSError as error:
            self._complain(error)
            self._let_go()
            return []

    def _problem(self) -> str | None:
        """What makes the file no json log of ours; None for a sound one and for an empty one."""
        size_bytes = self._path.stat().st_size
        if size_bytes > _MAX_FILE_BYTES:
            return f"it has {size_bytes} bytes, more than {_MAX_FILE_BYTES}"
        with self._path.open("rb") as file:
            head, end, _ = file.read(_MAX_TITLE_BYTES).partition(b"\n")
        # Without its end, a part of the title is all that there is: it was being written.
        is_ours = _parsed(head) == self._title if end else self._first_line().startswith(head)
        return None if is_ours else "it does not begin as a json_log of the emulator"

    def _begin_anew(self, problem: str) -> None:
        aside = self._path.with_name(self._path.name + ".odd")
        self._let_go()
        self._path.replace(aside)
        log.warning("emulator.begun_anew", file=str(self._path), reason=problem, kept_as=str(aside))
        self._file = _take(self._path)

    def _read(self) -> list[JSON]:
        whole, end, _ = self._path.read_bytes().rpartition(b"\n")
        self._size_bytes = self._kept_bytes = len(whole) + len(end)
        # What follows the last line's end was being written when the process died.
        os.ftruncate(self._file, self._size_bytes)
        if not end:
            self._append(self._first_line())
        return [_parsed(line) for line in whole.split(b"\n")[1:]]

    def _append(self, text: bytes) -> None:
        try:
            _write(self._file, text)
        except OSError:
            # Half a line would spoil the next one.
            os.ftruncate(self._file, self._size_bytes)
            raise
        self._size_bytes += len(text)

    def _replace(self, newest_first: Sequence[Entry]) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        text = b"".join([self._first_line(), *_newest(newest_first)[::-1]])
        file = _take(fresh)
        try:
            _write(file, text)
            fresh.replace(self._path)
        except OSError:
            os.close(file)
            fresh.unlink(missing_ok=True)
            raise
        self._let_go()
        self._file = file
        self._size_bytes = self._kept_bytes = len(text)

    def _first_line(self) -> bytes:
        return _line(lambda: self._title)

    def _let_go(self) -> None:
        if self._file != _NONE:
            os.close(self._file)
            self._file = _NONE


def _take(path: Path) -> int:
    """A descriptor of the file, for its owner only, which no other process of us holds."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file")
    file = os.open(path, _FLAGS, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking, its holder may have put another file in its place.
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
    left_bytes = MAX_KEPT_BYTES
    for entry in newest_first:
        # What cannot be written was told of when it was noted.
        with contextlib.suppress(*_NO_JSON):
            line = _line(entry)
            left_bytes -= len(line)
            if left_bytes < 0:
                break
            lines.append(line)
    return lines


def _line(entry: Entry) -> bytes:
    # Python's own JSON: it takes infinity, and half of a surrogate pair, and gives them back.
    return json.dumps(entry(), default=plain).encode() + b"\n"


def plain(value: object) -> JSON:
    """What `json.dumps` cannot write by itself: enums, sets (sorted), dataclasses."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} is no JSON")


def _parsed(line: bytes) -> JSON:
    """What a line says; None for one that says nothing."""
    try:
        return json.loads(line)
    except _NO_JSON:
        return None
