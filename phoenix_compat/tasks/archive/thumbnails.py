"""Which stored files have thumbnails. Pillow is only imported when the first one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from phoenix_compat.errors import TaskError
from phoenix_compat.tasks.archive.file_type import FileType

THUMBNAIL_FORMATS: Final = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}
"""Pillow's format for each type of which thumbnails are drawn."""


class ThumbnailError(TaskError):
    """No thumbnail can be drawn of this picture."""


def has_thumbnail(file_type: FileType) -> bool:
    """Whether thumbnails are drawn of this file type."""
    return file_type.content_type in THUMBNAIL_FORMATS


def thumbnail_of(path: Path) -> bytes:
    """A thumbnail of the first frame, upright, as WebP. Slow, so call it in a thread.

    Raises:
        ThumbnailError: the picture is broken or too large.
    """
    from phoenix_compat.tasks.archive.pictures.thumbnail import (  # noqa: PLC0415 - 4 MB of memory
        draw_thumbnail,
    )

    return draw_thumbnail(path)
