"""Finds the metadata in JPEG, PNG and WebP files, so that it can be left out without re-encoding.

Those of GIF are in `gif`, those of AVIF, MP4 and MOV in `boxes`.

The metadata are EXIF (with the place and the orientation), XMP, IPTC and comments. What shows the
picture stays: pixels, colour profile, and the animation of PNG and WebP. What follows the end of
the picture goes too, because cameras put further pictures there, with metadata of their own.

Sources: ITU-T T.81, annex B (JPEG); PNG third edition, section 11; RFC 9649 (WebP); TIFF 6.0,
section 2, and CIPA DC-008, section 4.6 (EXIF).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from phoenix_compat.tasks.archive.pictures.boxes import avif_layout, video_layout
from phoenix_compat.tasks.archive.pictures.file_bytes import FileBytes
from phoenix_compat.tasks.archive.pictures.gif import gif_layout
from phoenix_compat.tasks.archive.pictures.layout import (
    MAX_PARTS,
    UPRIGHT,
    Kept,
    Layout,
    broken,
    number_at,
    size_of,
    too_many_parts,
)

_MAX_EXIF_BYTES: Final = 64 * 1024
_MAX_TAGS: Final = 1_000
_WINDOW_BYTES: Final = 128 * 1024
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3

_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_EOI, _SOS, _COMMENT = 0xD9, 0xDA, 0xFE
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_KEPT_APPS: Final = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_EXIF: Final = b"Exif\0\0"
_PNG_START: Final = 8
_PNG_METADATA: Final = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"})
_WEBP_METADATA: Final = frozenset({b"EXIF", b"XMP "})
_WEBP_FLAGS: Final = 0x08 | 0x04


def has_layout(content_type: str) -> bool:
    """Whether the layout of files of this type is known."""
    return content_type in _READERS


def layout_of(data: FileBytes, content_type: str) -> Layout | None:
    """The layout of a picture; None for types without known metadata. Blocks.

    Raises:
        RefusedFileError: the picture is cut off or broken.
    """
    read = _READERS.get(content_type)
    return None if read is None else read(data)


def _jpeg(data: FileBytes) -> Layout:
    kept = Kept()
    orientation = UPRIGHT
    at = 2
    kept.add(0, at)
    for _ in range(MAX_PARTS):
        if at + 2 > len(data) or data[at] != 0xFF:
            raise broken()
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == _EOI:
            kept.add(at, at + 2)
            return kept.layout(len(data), orientation)
        end = at + 2 + (0 if marker in _STANDALONE else number_at(data, at + 2, 2))
        start = at + 4
        if marker == _SOS:
            end = _end_of_scan(data, end)
        if end > len(data):
            raise broken()
        if _is_jpeg_metadata(marker, data, start):
            if data[start : start + len(_EXIF)] == _EXIF and orientation == UPRIGHT:
                orientation = _orientation(data[start + len(_EXIF) : end])
        else:
            kept.add(at, end)
        at = end
    raise too_many_parts()


def _is_jpeg_metadata(marker: int, data: FileBytes, start: int) -> bool:
    if marker == _COMMENT:
        return True
    if not 0xE0 <= marker <= 0xEF:
        return False
    name = _KEPT_APPS.get(marker)
    return name is None or data[start : start + len(name)] != name


def _end_of_scan(data: FileBytes, start: int) -> int:
    """Where the next marker is. Searched in parts, which are not all in memory."""
    for at in range(start, len(data), _WINDOW_BYTES):
        found = _MARKER.search(data[at : at + _WINDOW_BYTES + 1])
        if found is not None:
            return at + found.start()
    raise broken()


def _png(data: FileBytes) -> Layout:
    kept = Kept()
    kept.add(0, _PNG_START)
    orientation = UPRIGHT
    at = _PNG_START
    for _ in range(MAX_PARTS):
        kind = data[at + 4 : at + 8]
        end = at + 12 + number_at(data, at, 4)
        if end > len(data):
            raise broken()
        if kind in _PNG_METADATA:
            if kind == b"eXIf":
                orientation = _orientation(data[at + 8 : min(end - 4, at + _MAX_EXIF_BYTES)])
        else:
            kept.add(at, end)
        if kind == b"IEND":
            return kept.layout(len(data), orientation)
        at = end
    raise too_many_parts()


def _webp(data: FileBytes) -> Layout:
    stop = 8 + number_at(data, 4, 4, "little")
    if stop > len(data):
        raise broken()
    kept = Kept()
    orientation = UPRIGHT
    at = 12
    for _ in range(MAX_PARTS):
        if at >= stop:
            return _with_webp_head(kept.layout(len(data) - 12, orientation))
        kind = data[at : at + 4]
        size_bytes = number_at(data, at + 4, 4, "little")
        end = at + 8 + size_bytes + size_bytes % 2
        if at + 8 + size_bytes > stop:
            raise broken()
        end = min(end, stop)
        if kind in _WEBP_METADATA:
            if kind == b"EXIF":
                exif = data[at + 8 : min(end, at + _MAX_EXIF_BYTES)]
                orientation = _orientation(exif.removeprefix(_EXIF))
        elif kind == b"VP8X" and size_bytes > 0:
            kept.parts += [(at, at + 8), bytes([data[at + 8] & ~_WEBP_FLAGS]), (at + 9, end)]
        else:
            kept.add(at, end)
        at = end
    raise too_many_parts()


def _with_webp_head(layout: Layout) -> Layout:
    size_bytes = 4 + sum(size_of(part) for part in layout.kept)
    head = b"RIFF" + size_bytes.to_bytes(4, "little") + b"WEBP"
    return layout._replace(kept=[head, *layout.kept])


_READERS: Final[dict[str, Callable[[FileBytes], Layout]]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/webp": _webp,
    "image/gif": gif_layout,
    "image/avif": avif_layout,
    "video/mp4": video_layout,
    "video/quicktime": video_layout,
    "audio/mp4": video_layout,
}


def _orientation(exif: bytes) -> int:
    """The orientation in EXIF data; upright if there is none, or the data are broken."""
    order = {b"II": "little", b"MM": "big"}.get(exif[:2])
    if order is None:
        return UPRIGHT

    def number(at: int, size_bytes: int) -> int:
        return int.from_bytes(exif[at : at + size_bytes], "little" if order == "little" else "big")

    first = number(4, 4)
    for index in range(min(number(first, 2), _MAX_TAGS)):
        at = first + 2 + 12 * index
        if at + 12 > len(exif):
            break
        if number(at, 2) == _ORIENTATION and number(at + 2, 2) == _SHORT:
            found = number(at + 8, 2)
            return found if UPRIGHT <= found <= 8 else UPRIGHT
    return UPRIGHT
