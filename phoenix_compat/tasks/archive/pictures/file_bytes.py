"""Reads a file on disk as if its bytes were in memory, of which only a part is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self, overload

_WINDOW_BYTES: Final = 64 * 1024


class FileBytes:
    """The bytes of an open file, which is not mapped: mapped pages count as the process's memory.

    Small reads near each other come from one block of the file. Blocks.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size_bytes = os.fstat(fd).st_size
        self._start = 0
        self._window = b""

    @classmethod
    @contextmanager
    def of(cls, path: Path) -> Iterator[Self]:
        """The bytes of the file at a path, which is closed at the end of the block."""
        with path.open("rb", buffering=0) as file:
            yield cls(file.fileno())

    def __len__(self) -> int:
        return self._size_bytes

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: int | slice) -> int | bytes:
        """A byte, or the bytes of a range with a start, an end and no step, as of `bytes`."""
        if isinstance(place, int):
            return self._read(place, place + 1)[0]
        return self._read(place.start, place.stop)

    def _read(self, start: int, end: int) -> bytes:
        if end - start > _WINDOW_BYTES:
            return self._pread(start, end - start)
        if not self._start <= start <= end <= self._start + len(self._window):
            self._start, self._window = start, self._pread(start, _WINDOW_BYTES)
        return self._window[start - self._start : max(end - self._start, 0)]

    def _pread(self, start: int, size_bytes: int) -> bytes:
        return os.pread(self._fd, max(size_bytes, 0), start)
