"""Draws thumbnails. Slow, so call it in a thread. Decompression bombs are refused undecoded."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageOps

from phoenix_compat.tasks.archive.thumbnails import THUMBNAIL_FORMATS, ThumbnailError

THUMBNAIL_PX = 512
"""The longest side of a thumbnail."""

# Pillow's decoders raise all of these for broken files.
DECODER_ERRORS = (
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


def draw_thumbnail(path: Path) -> bytes:
    """Draw a thumbnail of the first frame, upright, as WebP.

    Raises:
        ThumbnailError: the picture is broken, or has more pixels than `Image.MAX_IMAGE_PIXELS`.
    """
    try:
        with Image.open(path, formats=tuple(THUMBNAIL_FORMATS.values())) as picture:
            _check_size(picture)
            return _encode_webp(_scale_down(picture))
    except DECODER_ERRORS as error:
        raise ThumbnailError(f"{type(error).__name__}: {error}") from error


def _check_size(picture: Image.Image) -> None:
    # Pillow only warns up to twice the limit.
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and picture.width * picture.height > limit:
        raise ThumbnailError(f"the picture is too large: {picture.width} x {picture.height} pixels")


def _scale_down(picture: Image.Image) -> Image.Image:
    box = (THUMBNAIL_PX, THUMBNAIL_PX)
    # The JPEG decoder can decode at a fraction of the size; other decoders ignore this.
    picture.draft("RGB", box)
    picture.seek(0)
    has_alpha = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    small = ImageOps.exif_transpose(picture).convert("RGBA" if has_alpha else "RGB")
    small.thumbnail(box, reducing_gap=2.0)
    return small


def _encode_webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80, method=4)
    return buffer.getvalue()
