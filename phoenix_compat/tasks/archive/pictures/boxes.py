"""Finds the metadata of files that consist of boxes: AVIF, MP4, MOV and M4A.

Other boxes say by numbers where pixels and samples are in the file. So nothing moves: metadata are
overwritten, with zeros or with something of the same size that says nothing.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items of pictures), QuickTime File Format.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from phoenix_compat.tasks.archive.pictures.file_bytes import FileBytes
from phoenix_compat.tasks.archive.pictures.layout import (
    MAX_PARTS,
    UPRIGHT,
    Kept,
    Layout,
    broken,
    number_at,
    too_many_parts,
)

_METADATA: Final = frozenset({b"udta", b"meta", b"uuid"})
_OPENED: Final = frozenset({b"moov", b"trak"})
_MAX_DEPTH: Final = 3
_MAX_ITEMS: Final = 1_000
_MAX_EXTENTS: Final = 1_000
_HEAD_BYTES: Final = 8
_NO_EXIF: Final = bytes(4) + b"II*\0" + (8).to_bytes(4, "little") + bytes(6)
"""The content of an item with EXIF that says nothing."""


class _Box(NamedTuple):
    """A box; its content begins at `content` and ends at `end`."""

    kind: bytes
    start: int
    content: int
    end: int


class _Range(NamedTuple):
    start: int
    end: int
    content: bytes


def video_layout(data: FileBytes) -> Layout:
    """The layout of an MP4, MOV or M4A. Blocks.

    What samples of its tracks say, such as those of the GPS of a camera, stays.

    Raises:
        RefusedFileError: it is cut off or broken.
    """
    boxes = _metadata_boxes(data, 0, len(data), 0)
    return _blanked(data, [part for box in boxes for part in _freed(box)])


def avif_layout(data: FileBytes) -> Layout:
    """The layout of an AVIF. Blocks.

    Raises:
        RefusedFileError: it is cut off or broken.
    """
    ranges: list[_Range] = []
    for box in _boxes(data, 0, len(data)):
        if box.kind == b"meta":
            ranges += _items(data, box)
        elif box.kind in _METADATA:
            ranges += _freed(box)
    return _blanked(data, ranges)


def _freed(box: _Box) -> tuple[_Range, _Range]:
    """A box of the same size that says nothing."""
    return _Range(box.start + 4, box.start + 8, b"free"), _Range(box.content, box.end, b"")


def _blanked(data: FileBytes, ranges: list[_Range]) -> Layout:
    kept = Kept()
    at = 0
    for start, end, content in sorted(ranges):
        if start < at or end > len(data):
            raise broken()
        kept.add(at, start)
        if start < end and _has_other(data, start, end, content):
            kept.replace(content[: end - start])
            kept.blank(end - start - len(content))
            at = end
        else:
            at = start
    kept.add(at, len(data))
    return kept.layout(len(data), UPRIGHT)


def _has_other(data: FileBytes, start: int, end: int, content: bytes) -> bool:
    """Whether a range does not have this content and zeros already."""
    head = content[: end - start]
    if data[start : start + len(head)] != head:
        return True
    step = 64 * 1024
    return any(
        data[at : min(at + step, end)].strip(b"\0") for at in range(start + len(head), end, step)
    )


def _metadata_boxes(data: FileBytes, start: int, end: int, depth: int) -> Iterator[_Box]:
    for box in _boxes(data, start, end):
        if box.kind in _METADATA:
            yield box
        elif box.kind in _OPENED and depth < _MAX_DEPTH:
            yield from _metadata_boxes(data, box.content, box.end, depth + 1)


def _boxes(data: FileBytes, start: int, end: int) -> Iterator[_Box]:
    at = start
    for _ in range(MAX_PARTS):
        if at + _HEAD_BYTES > end:
            if at < end and any(data[at:end]):  # QuickTime ends some with four zeros
                raise broken()
            return
        size_bytes, content = number_at(data, at, 4), at + _HEAD_BYTES
        if size_bytes == 1:
            size_bytes, content = number_at(data, at + 8, 8), at + 16
        elif size_bytes == 0:
            size_bytes = end - at
        if size_bytes < content - at or at + size_bytes > end:
            raise broken()
        yield _Box(data[at + 4 : at + 8], at, content, at + size_bytes)
        at += size_bytes
    raise too_many_parts()


class _Numbers:
    """Reads numbers one after the other."""

    def __init__(self, data: FileBytes, at: int, end: int) -> None:
        self._data = data
        self._end = end
        self.at = at

    def next(self, size_bytes: int) -> int:
        if self.at + size_bytes > self._end:
            raise broken()
        found = number_at(self._data, self.at, size_bytes) if size_bytes else 0
        self.at += size_bytes
        return found


def _items(data: FileBytes, meta: _Box) -> Iterator[_Range]:
    """Where the EXIF and the XMP of a picture are, and what belongs there instead."""
    children = {box.kind: box for box in _boxes(data, meta.content + 4, meta.end)}
    infos, places = children.get(b"iinf"), children.get(b"iloc")
    if infos is None or places is None:
        return
    wanted = _metadata_items(data, infos)
    stored = children.get(b"idat")
    for item, is_inside, start, end in _extents(data, places):
        if item not in wanted:
            continue
        if is_inside and stored is None:
            raise broken()
        moved = stored.content if is_inside and stored is not None else 0
        yield _Range(start + moved, end + moved, wanted[item])


def _metadata_items(data: FileBytes, infos: _Box) -> dict[int, bytes]:
    """The numbers of the items with EXIF or XMP, and what they get instead."""
    version = _Numbers(data, infos.content, infos.end).next(4) >> 24
    head_bytes = 4 + (2 if version == 0 else 4)
    found: dict[int, bytes] = {}
    for info in _boxes(data, infos.content + head_bytes, infos.end):
        numbers = _Numbers(data, info.content, info.end)
        version = numbers.next(4) >> 24
        item = numbers.next(2 if version == 2 else 4)
        numbers.next(2)
        kind = numbers.next(4).to_bytes(4, "big")
        if kind in _REPLACED:
            found[item] = _REPLACED[kind]
    return found


_REPLACED: Final = {b"Exif": _NO_EXIF, b"mime": b""}


def _extents(data: FileBytes, places: _Box) -> Iterator[tuple[int, bool, int, int]]:
    """The item, whether it is in the box of small items, the start and the end of each extent."""
    numbers = _Numbers(data, places.content, places.end)
    version = numbers.next(4) >> 24
    sizes = numbers.next(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (
        sizes >> 12,
        sizes >> 8 & 15,
        sizes >> 4 & 15,
        sizes & 15 if version else 0,
    )
    wide = 4 if version == 2 else 2
    for _ in range(_bounded(numbers.next(wide), _MAX_ITEMS)):
        item = numbers.next(wide)
        method = numbers.next(2) & 15 if version else 0
        numbers.next(2)
        base = numbers.next(base_bytes)
        for _ in range(_bounded(numbers.next(2), _MAX_EXTENTS)):
            numbers.next(index_bytes)
            start = base + numbers.next(offset_bytes)
            yield item, method == 1, start, start + numbers.next(length_bytes)


def _bounded(count: int, limit: int) -> int:
    if count > limit:
        raise too_many_parts()
    return count
