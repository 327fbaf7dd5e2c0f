"""Small pictures of large ones. Slow: for a thread. Bombs are refused before they are decoded."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageOps

from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.archive.file_type import FileType

THUMBNAIL_PX = 512
"""The longer side, at most."""

_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}
# What Pillow's decoders raise over broken files; a broken picture has no thumbnail, no more.
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class ThumbnailError(TaskError):
    """A picture has no thumbnail."""


def has_thumbnail(file_type: FileType) -> bool:
    """Whether thumbnails of such files are drawn."""
    return file_type.content_type in _FORMATS


def draw_thumbnail(path: Path) -> bytes:
    """A thumbnail as WebP, upright, of the first frame.

    Raises:
        ThumbnailError: the picture is broken, or has more pixels than `Image.MAX_IMAGE_PIXELS`.
    """
    try:
        with Image.open(path, formats=tuple(_FORMATS.values())) as picture:
            _check_size(picture)
            return _encoded(_small(picture))
    except _BROKEN as error:
        raise ThumbnailError(f"{type(error).__name__}: {error}") from error


def _check_size(picture: Image.Image) -> None:
    # Pillow itself only warns, until it is twice as many.
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and picture.width * picture.height > limit:
        raise ThumbnailError(f"{picture.width} x {picture.height} pixels are too many")


def _small(picture: Image.Image) -> Image.Image:
    box = (THUMBNAIL_PX, THUMBNAIL_PX)
    # JPEG decodes at a fraction of its size; others take this as no more than a wish.
    picture.draft("RGB", box)
    picture.seek(0)
    has_alpha = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    small = ImageOps.exif_transpose(picture).convert("RGBA" if has_alpha else "RGB")
    small.thumbnail(box, reducing_gap=2.0)
    return small


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80, method=4)
    return buffer.getvalue()
