"""Turns the pixels of a picture by way of a file on disk, so that they are in memory only once.

The picture is turned strip by strip. The strips are the rows of the new picture, and they are
written to a file, which is then mapped into memory for the encoder.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from PIL import Image
from PIL.Image import Transpose

from phoenix_compat.private_files import open_private, write_all
from phoenix_compat.tasks.archive.errors import disk_errors
from phoenix_compat.tasks.memory import give_memory_back

_STRIP_PX: Final = 64
_MAPPED: Final = {"L": "L", "RGB": "RGBX", "RGBX": "RGBX", "RGBA": "RGBA", "CMYK": "CMYK"}
"""The modes that can be turned here, and how Pillow maps them."""


class _Turn(NamedTuple):
    """How a picture with an orientation is turned.

    Attributes:
        is_sideways: its columns become rows.
        is_backwards: the last strip becomes the first one.
    """

    method: Transpose
    is_sideways: bool
    is_backwards: bool


_TURNS: Final = {
    2: _Turn(Transpose.FLIP_LEFT_RIGHT, is_sideways=False, is_backwards=False),
    3: _Turn(Transpose.ROTATE_180, is_sideways=False, is_backwards=True),
    4: _Turn(Transpose.FLIP_TOP_BOTTOM, is_sideways=False, is_backwards=True),
    5: _Turn(Transpose.TRANSPOSE, is_sideways=True, is_backwards=False),
    6: _Turn(Transpose.ROTATE_270, is_sideways=True, is_backwards=False),
    7: _Turn(Transpose.TRANSVERSE, is_sideways=True, is_backwards=True),
    8: _Turn(Transpose.ROTATE_90, is_sideways=True, is_backwards=True),
}


def can_turn(mode: str) -> bool:
    """Whether pictures of this mode of Pillow can be turned here."""
    return mode in _MAPPED


@contextmanager
def turned_by_rows(
    picture: Image.Image, orientation: int, rows: Path, reserve: Callable[[int], None]
) -> Iterator[Image.Image]:
    """The picture upright, in a mode that JPEG and WebP can have. Blocks.

    The given picture is closed, and its pixels are gone.

    Args:
        orientation: 2 to 8, as in EXIF.
        rows: the path of a file, which is deleted at the end of the block.
        reserve: called with its size in bytes; raises ArchiveError if that does not fit.
    """
    mode, turn = _MAPPED[picture.mode], _TURNS[orientation]
    size = picture.size[::-1] if turn.is_sideways else picture.size
    picture.load()
    reserve(picture.width * picture.height * len(Image.new(mode, (1, 1)).tobytes()))
    with open_private(rows, "x+b", is_buffered=False) as file:
        try:
            with disk_errors(rows.parent):
                _write_rows(picture, turn, mode, file)
            picture.close()
            give_memory_back()
            # Unmapped when nothing refers to the picture any more.
            pixels = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            yield Image.frombuffer(mode, size, cast("bytes", pixels), "raw", mode, 0, 1)
        finally:
            rows.unlink()


def _write_rows(picture: Image.Image, turn: _Turn, mode: str, file: IO[bytes]) -> None:
    width, height = picture.size
    starts = range(0, width if turn.is_sideways else height, _STRIP_PX)
    for start in reversed(starts) if turn.is_backwards else starts:
        end = start + _STRIP_PX
        box = (
            (start, 0, min(end, width), height)
            if turn.is_sideways
            else (0, start, width, min(end, height))
        )
        strip = picture.crop(box).transpose(turn.method).convert(mode)
        write_all(file, strip.tobytes())
