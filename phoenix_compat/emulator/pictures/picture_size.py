"""The picture size that a model input asks for."""

from __future__ import annotations

import math
import re

from phoenix_compat.emulator.json_type import JsonObject

# Imagen's real sizes for its ratios; other ratios are computed for the same area.
_KNOWN = {
    "1:1": (1024, 1024),
    "16:9": (1408, 768),
    "9:16": (768, 1408),
    "4:3": (1280, 896),
    "3:4": (896, 1280),
}
_AREA = 1024 * 1024
_MAX_SIDE = 2048
_RATIO = re.compile(r"(\d{1,3}):(\d{1,3})")
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")


def picture_size(model_input: JsonObject) -> tuple[int, int]:
    """Width and height in pixels, from `aspect_ratio`, `size`, or `width` and `height`."""
    ratio = str(model_input.get("aspect_ratio", ""))
    if ratio in _KNOWN:
        return _KNOWN[ratio]
    if (match := _RATIO.fullmatch(ratio)) and int(match[1]) and int(match[2]):
        return _of_ratio(int(match[1]) / int(match[2]))
    if match := _SIZE.fullmatch(str(model_input.get("size", ""))):
        return _bounded(int(match[1]), int(match[2]))
    width, height = model_input.get("width"), model_input.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return _bounded(width, height)
    return _KNOWN["1:1"]


def _of_ratio(ratio: float) -> tuple[int, int]:
    ratio = min(max(ratio, 0.25), 4.0)
    # The sides of real models' pictures are multiples of 32.
    width = round(math.sqrt(_AREA * ratio) / 32) * 32
    height = round(math.sqrt(_AREA / ratio) / 32) * 32
    return width, height


def _bounded(width: int, height: int) -> tuple[int, int]:
    return min(max(width, 64), _MAX_SIDE), min(max(height, 64), _MAX_SIDE)
