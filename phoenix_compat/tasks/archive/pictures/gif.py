"""Finds the comments and the XMP of GIF files.

Source: GRAPHICS INTERCHANGE FORMAT, version 89a.
"""

from __future__ import annotations

from typing import Final

from phoenix_compat.tasks.archive.pictures.file_bytes import FileBytes
from phoenix_compat.tasks.archive.pictures.layout import (
    MAX_PARTS,
    UPRIGHT,
    Kept,
    Layout,
    broken,
    too_many_parts,
)

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_COMMENT, _APPLICATION = 0xFE, 0xFF
_KEPT_APPLICATIONS: Final = frozenset({b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"})
_HEAD_BYTES: Final = 13
_IMAGE_BYTES: Final = 10


def gif_layout(data: FileBytes) -> Layout:
    """The layout of a GIF. Blocks.

    Raises:
        RefusedFileError: it is cut off or broken.
    """
    if len(data) < _HEAD_BYTES:
        raise broken()
    kept = Kept()
    at = _HEAD_BYTES + _table_bytes(data[10])
    kept.add(0, at)
    for _ in range(MAX_PARTS):
        if at >= len(data):
            return _checked(kept, at, len(data))  # many have no end mark
        kind = data[at]
        if kind == _END:
            kept.add(at, at + 1)
            return _checked(kept, at + 1, len(data))
        if kind == _EXTENSION:
            end = _end_of_blocks(data, at + 2)
            if not _is_metadata(data, at):
                kept.add(at, end)
        elif kind == _IMAGE and at + _IMAGE_BYTES <= len(data):
            start = at + _IMAGE_BYTES + _table_bytes(data[at + 9])
            end = _end_of_blocks(data, start + 1)
            kept.add(at, end)
        else:
            raise broken()
        at = end
    raise too_many_parts()


def _checked(kept: Kept, end: int, whole_bytes: int) -> Layout:
    if end > whole_bytes:
        raise broken()
    return kept.layout(whole_bytes, UPRIGHT)


def _is_metadata(data: FileBytes, at: int) -> bool:
    label = data[at + 1]
    return label == _COMMENT or (
        label == _APPLICATION and data[at + 3 : at + 14] not in _KEPT_APPLICATIONS
    )


def _table_bytes(flags: int) -> int:
    """The size of a table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: FileBytes, at: int) -> int:
    while at < len(data):
        size_bytes = data[at]
        at += 1 + size_bytes
        if size_bytes == 0:
            return at
    raise broken()
