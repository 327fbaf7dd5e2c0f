"""Compares a picture with the edit that the emulator has made of it."""

from __future__ import annotations

import io

from PIL import Image, ImageChops, ImageStat

KEPT = 0.65
"""The share of each colour that the emulator keeps; see `altered.edit`."""


def assert_edit_of(original: bytes, edited: bytes) -> None:
    """Check that a picture is an edit of another one: as large, tinted, and otherwise the same.

    Below the tint, each pixel of the middle is that of the original.
    """
    before, after = _opened(original), _opened(edited)
    assert after.size == before.size
    small_before, small_after = (
        one.resize((64, 64), Image.Resampling.BOX).crop((4, 10, 60, 38)) for one in (before, after)
    )
    assert max(ImageStat.Stat(ImageChops.difference(small_before, small_after)).mean) > 10
    kept = small_before.point([round(level * KEPT) for level in range(256)] * 3)
    for band in range(3):
        tint = ImageChops.subtract(small_after.getchannel(band), kept.getchannel(band))
        assert ImageStat.Stat(tint).stddev[0] < 4, band


def _opened(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as picture:
        picture.draft("RGB", picture.size)
        return picture.convert("RGB")
