"""Turns pictures upright, and converts HEIC to JPEG. Both need all pixels in memory once.

Slow, so call it in a thread, for one picture at a time. Pixels are only changed where they must be:
most models ignore the orientation that cameras write beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from PIL import ExifTags, Image, ImageOps

from phoenix_compat.private_files import open_private
from phoenix_compat.tasks.archive.errors import RefusedFileError
from phoenix_compat.tasks.archive.pictures.layout import UPRIGHT
from phoenix_compat.tasks.archive.pictures.thumbnail import DECODER_ERRORS
from phoenix_compat.tasks.archive.pictures.turned_rows import can_turn, turned_by_rows

MAX_DECODED_BYTES: Final = 150_000_000
"""What the pixels of a picture that is turned may take in memory, at most."""

_BYTES_PER_PIXEL: Final = 4
_BY_ROWS: Final = frozenset({"JPEG", "WEBP"})
_TURNED: Final = range(2, 9)
_FORMATS: Final = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
}
_BOMBS: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_HEIF: Final = "pillow_heif"
_QUALITY: Final = 93


def reads_heic() -> bool:
    """Whether HEIC can be read: the extra `heif` is installed."""
    return find_spec(_HEIF) is not None


def check_size(path: Path, content_type: str) -> None:
    """Check how many pixels a picture says it has, without decoding them.

    Raises:
        RefusedFileError: too many, or its head cannot be read.
    """
    name = _FORMATS.get(content_type)
    if name is None:
        return
    try:
        with _opened(path, name) as picture:
            width, height = picture.size
    except _BOMBS as error:
        raise _too_many_pixels(Image.MAX_IMAGE_PIXELS or 0) from error
    except DECODER_ERRORS as error:
        raise _unreadable() from error
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise _too_many_pixels(limit)


def turn_upright(
    path: Path, content_type: str, target: Path, reserve: Callable[[int], None]
) -> None:
    """Write a picture anew, as it is meant to be seen, without metadata.

    JPEG, PNG and WebP keep their type; HEIC becomes JPEG.

    Args:
        reserve: called with the size in bytes of a further file that is needed for a moment;
            raises ArchiveError if that does not fit.

    Raises:
        RefusedFileError: it has too many pixels to be decoded here, or is broken.
    """
    name = _FORMATS[content_type]
    kind = "JPEG" if name == "HEIF" else name
    try:
        with _opened(path, name) as picture:
            by_rows = kind in _BY_ROWS and can_turn(picture.mode)
            # libheif has the pixels in memory beside those of Pillow.
            _check_decoded(picture, is_twice=not by_rows or name == "HEIF")
            profile = picture.info.get("icc_profile")
            orientation = picture.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
            if not by_rows or orientation not in _TURNED:
                _save(ImageOps.exif_transpose(picture), kind, target, profile)
                return
            rows = target.with_suffix(".rows.part")
            with turned_by_rows(picture, orientation, rows, reserve) as turned:
                _save(turned, kind, target, profile)
    except _BOMBS as error:
        raise _too_many_pixels(Image.MAX_IMAGE_PIXELS or 0) from error
    except DECODER_ERRORS as error:
        raise _unreadable() from error


def _opened(path: Path, name: str) -> Image.Image:
    if name == "HEIF":
        import_module(_HEIF).register_heif_opener()
    return Image.open(path, formats=(name,))


def _check_decoded(picture: Image.Image, *, is_twice: bool) -> None:
    limit = MAX_DECODED_BYTES // (_BYTES_PER_PIXEL * (2 if is_twice else 1))
    if picture.width * picture.height > limit:
        raise _too_many_pixels(limit)


def _save(picture: Image.Image, name: str, target: Path, profile: bytes | None) -> None:
    more = {} if profile is None else {"icc_profile": profile}
    if name == "JPEG" and picture.mode not in {"L", "RGB", "RGBX", "CMYK"}:
        picture = picture.convert("RGB")
    # Without these, Pillow would write the old metadata again.
    for key in ("exif", "xmp", "XML:com.adobe.xmp", "comment"):
        picture.info.pop(key, None)
    with open_private(target, "xb") as file:
        picture.save(file, name, quality=_QUALITY, exif=b"", **more)


def _too_many_pixels(limit: int) -> RefusedFileError:
    return RefusedFileError(
        "too_many_pixels", f"has too many pixels; at most {limit} are accepted, so make it smaller"
    )


def _unreadable() -> RefusedFileError:
    return RefusedFileError("broken", "is broken: its pixels cannot be read")
