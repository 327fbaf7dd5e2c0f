"""What a file consists of, and what is left of it without its metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from phoenix_compat.tasks.archive.errors import RefusedFileError
from phoenix_compat.tasks.archive.pictures.file_bytes import FileBytes

UPRIGHT: Final = 1
"""The orientation of a picture that needs no turning; the others are 2 to 8."""
MAX_PARTS: Final = 20_000
"""The most segments or chunks of a picture; real ones have some hundred, or thousands if large."""

Part: TypeAlias = bytes | tuple[int, int]
"""Bytes, or a range of the file."""

_ZEROS: Final = bytes(64 * 1024)


class Layout(NamedTuple):
    """What a picture consists of.

    Attributes:
        kept: what is left of it without metadata, in order.
        has_metadata: whether that is less than the whole file.
        orientation: 1 to 8, as in EXIF.
    """

    kept: list[Part]
    has_metadata: bool
    orientation: int


class Kept:
    """The parts that are kept; neighbours become one part."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._has_blanks = False

    def add(self, start: int, end: int) -> None:
        last = self.parts[-1] if self.parts else None
        if isinstance(last, tuple) and last[1] == start:
            self.parts[-1] = (last[0], end)
        else:
            self.parts.append((start, end))

    def blank(self, size_bytes: int) -> None:
        """Keep the place of a part, with zeros in it, because others are found by their places."""
        self._has_blanks = True
        while size_bytes > 0:
            self.parts.append(_ZEROS[:size_bytes])
            size_bytes -= len(_ZEROS)

    def replace(self, content: bytes) -> None:
        """Keep the place of a part, with another content."""
        self._has_blanks = True
        self.parts.append(content)

    def layout(self, whole_bytes: int, orientation: int) -> Layout:
        has_metadata = self._has_blanks or sum(map(size_of, self.parts)) < whole_bytes
        return Layout(self.parts, has_metadata, orientation)


def blocks_of(data: FileBytes, kept: list[Part], block_bytes: int) -> Iterator[bytes]:
    """The bytes of these parts, in blocks."""
    for part in kept:
        if isinstance(part, bytes):
            yield part
            continue
        start, end = part
        for at in range(start, end, block_bytes):
            yield data[at : min(at + block_bytes, end)]


def size_of(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part[1] - part[0]


def number_at(data: FileBytes, at: int, size_bytes: int, order: str = "big") -> int:
    if at + size_bytes > len(data):
        raise broken()
    return int.from_bytes(data[at : at + size_bytes], "little" if order == "little" else "big")


def broken() -> RefusedFileError:
    return RefusedFileError("broken", "is cut off or broken; send it again")


def too_many_parts() -> RefusedFileError:
    return RefusedFileError("broken", f"has more than {MAX_PARTS} parts; save it anew")
