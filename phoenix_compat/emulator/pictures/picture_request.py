"""Which picture is drawn. Without Pillow, which is only imported when the first one is."""

from __future__ import annotations

from dataclasses import dataclass

CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "wav": "audio/wav",
}
"""By the ending of a file of a model's output."""


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """Which picture to draw. Width and height are in pixels.

    Attributes:
        index: the number of the picture within its prediction, from 0.
        seed: another seed gives another picture for the same prompt.
        format: `jpg`, `png` or `webp`.
    """

    prompt: str
    width: int
    height: int
    format: str
    index: int = 0
    seed: str = ""
