"""A short animation that moves over a picture, in place of a video. Blocking."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, ImageOps

from phoenix_compat.emulator.pictures.altered import Alteration, opened

FRAMES: Final = 24
_FRAME_MS: Final = 83
_LONG_SIDE_PX: Final = 480
_ZOOM: Final = 1.3


def film(source: bytes, alteration: Alteration) -> bytes:
    """An animated WebP of two seconds, in the ratio of the alteration or else of the picture."""
    picture = opened(source, alteration.aspect_ratio)
    scale = _LONG_SIDE_PX / max(picture.size)
    size = max(round(picture.width * scale), 2), max(round(picture.height * scale), 2)
    large = ImageOps.fit(picture, (round(size[0] * _ZOOM), round(size[1] * _ZOOM)))
    frames = [_frame(large, size, number / (FRAMES - 1)) for number in range(FRAMES)]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=_FRAME_MS,
        loop=0,
        quality=70,
        method=0,
    )
    return buffer.getvalue()


def _frame(large: Image.Image, size: tuple[int, int], progress: float) -> Image.Image:
    left = round((large.width - size[0]) * progress)
    top = round((large.height - size[1]) * (1.0 - progress))
    return large.crop((left, top, left + size[0], top + size[1]))
