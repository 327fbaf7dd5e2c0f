"""Changes pictures that were sent: edits, enlarges and cuts them out. Blocking, and heavy.

    edit       tinted in a colour that follows from the prompt, with the prompt as a caption
    upscale    wider and higher
    cut out    a PNG in which what has the colours of the border is transparent

A picture of 12 megapixels takes about 36 MB at each step, so no step holds more than two.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import (
    Image,
    ImageChops,
    ImageDraw,
    ImageFilter,
    ImageOps,
    ImageStat,
    UnidentifiedImageError,
)

from phoenix_compat.emulator.json_type import JsonObject
from phoenix_compat.emulator.pictures.caption import draw_caption, draw_watermark
from phoenix_compat.emulator.pictures.picture import encoded

MAX_PIXELS: Final = 50_000_000
"""The most pixels that a result may have; a model would run out of memory."""

# Those that the task server accepts; other decoders of Pillow run programs, or are little used.
_FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")
# Pillow's decoders raise all of these for broken files; LookupError if they lack a format.
_DECODER_ERRORS: Final = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_TINT_SHARE: Final = 0.35
_MASK_PX: Final = 512
_RATIO: Final = re.compile(r"(\d{1,3}):(\d{1,3})")
_HUES: Final = (
    *((20, "red"), (45, "orange"), (70, "yellow"), (160, "green"), (200, "turquoise")),
    *((260, "blue"), (295, "purple"), (340, "pink"), (361, "red")),
)


class UnreadablePictureError(Exception):
    """The content is not a picture, or it is broken."""


class PictureTooLargeError(Exception):
    """The result would have more than `MAX_PIXELS`."""


@dataclass(frozen=True, slots=True)
class Alteration:
    """How to change a picture.

    Attributes:
        change: the change; one of the functions of this module, or `film`.
        seed: another seed gives another tint.
        format: `jpg`, `png` or `webp`.
    """

    change: Callable[[bytes, Alteration], bytes]
    prompt: str
    format: str
    aspect_ratio: str = ""
    factor: float = 1.0
    seed: str = ""


def edit(source: bytes, alteration: Alteration) -> bytes:
    """The picture, tinted and with a caption; of the same size, unless another ratio is asked."""
    picture = opened(source, alteration.aspect_ratio)
    prompt = alteration.prompt.encode(errors="replace").decode()
    tint = _tint(f"{prompt}\0{alteration.seed}")
    kept = 1.0 - _TINT_SHARE
    table = [round(level * kept + part * _TINT_SHARE) for part in tint for level in range(256)]
    picture = picture.point(table)
    side = min(picture.size)
    strip_px = max(min(round(side * 0.35), picture.height), 1)
    _draw_on(
        picture, picture.height - strip_px, strip_px, lambda one: draw_caption(one, prompt, side)
    )
    top_px = max(min(round(side * 0.1), picture.height), 1)
    _draw_on(picture, 0, top_px, lambda one: draw_watermark(one, "emulated edit", side))
    return encoded(picture, alteration.format)


def upscale(source: bytes, alteration: Alteration) -> bytes:
    """The picture, `factor` times as wide and as high."""
    picture = opened(source)
    size = (
        max(round(picture.width * alteration.factor), 1),
        max(round(picture.height * alteration.factor), 1),
    )
    return encoded(picture.resize(size, Image.Resampling.BICUBIC), alteration.format)


def cut_out(source: bytes, alteration: Alteration) -> bytes:
    """The picture as a PNG, transparent where it has the colours of its border."""
    picture = opened(source)
    mask = _foreground(picture).resize(picture.size, Image.Resampling.BILINEAR)
    picture.putalpha(mask)
    return encoded(picture, "png" if alteration.format == "jpg" else alteration.format)


def check_picture(content: bytes, factor: float) -> None:
    """Check that a model could change a picture, without decoding it.

    Raises:
        UnreadablePictureError: the content is not a picture.
        PictureTooLargeError: the result would be too large.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            pixels = picture.width * picture.height
    except _DECODER_ERRORS as error:
        raise UnreadablePictureError(str(error)) from error
    if pixels * factor * factor > MAX_PIXELS:
        raise PictureTooLargeError(f"{pixels} pixels")


def described_picture(content: bytes) -> str:
    """The size and the main colour of a picture: "a picture of 640 by 480 pixels, mostly blue".

    Raises:
        UnreadablePictureError: the content is not a picture.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            width, height = picture.size
            picture.draft("RGB", (64, 64))
            small = picture.convert("RGB")
    except _DECODER_ERRORS as error:
        raise UnreadablePictureError(str(error)) from error
    small.thumbnail((64, 64))
    red, green, blue = (round(part) for part in ImageStat.Stat(small).mean)
    return f"a picture of {width} by {height} pixels, mostly {_color_name(red, green, blue)}"


def upscale_factor(model_input: JsonObject) -> float:
    """How many times wider an input wants a picture: from `upscale_factor` or `scale`."""
    text = model_input.get("upscale_factor")
    if isinstance(text, str):
        return float(text[:-1]) if re.fullmatch(r"[1-9]x", text) else 1.0
    scale = model_input.get("scale")
    if isinstance(scale, int | float) and not isinstance(scale, bool):
        return min(max(float(scale), 0.1), 10.0)
    return 4.0


def opened(source: bytes, aspect_ratio: str = "") -> Image.Image:
    """A decoded picture, upright, and cropped to a ratio as "16:9" if there is one.

    Raises:
        UnreadablePictureError: the content is not a picture.
        PictureTooLargeError: it has more than `MAX_PIXELS`.
    """
    try:
        with Image.open(io.BytesIO(source), formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureTooLargeError(f"{picture.width} x {picture.height} pixels")
            return _cropped(ImageOps.exif_transpose(picture).convert("RGB"), aspect_ratio)
    except _DECODER_ERRORS as error:
        raise UnreadablePictureError(str(error)) from error


def _cropped(picture: Image.Image, aspect_ratio: str) -> Image.Image:
    match = _RATIO.fullmatch(aspect_ratio)
    if match is None or not int(match[1]) or not int(match[2]):
        return picture
    ratio = int(match[1]) / int(match[2])
    width = min(picture.width, max(round(picture.height * ratio), 1))
    height = min(picture.height, max(round(picture.width / ratio), 1))
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _draw_on(
    picture: Image.Image, top: int, height_px: int, draw: Callable[[Image.Image], Image.Image]
) -> None:
    """Draw on a part of the picture alone, because drawing needs several copies."""
    strip = picture.crop((0, top, picture.width, top + height_px))
    picture.paste(draw(strip), (0, top))


def _tint(text: str) -> tuple[int, ...]:
    hue = hashlib.sha256(text.encode()).digest()[0] / 256
    return tuple(round(part * 255) for part in colorsys.hls_to_rgb(hue, 0.5, 0.9))


def _foreground(picture: Image.Image) -> Image.Image:
    """A small mask that is white where the picture differs from its border."""
    small = picture.copy() if max(picture.size) <= _MASK_PX else None
    if small is None:
        small = picture.resize(_fitting(picture.size), Image.Resampling.BOX)
    border = Image.new("L", small.size, 255)
    inset = max(min(small.size) // 20, 1)
    inner = (inset, inset, small.width - inset, small.height - inset)
    if inner[0] < inner[2] and inner[1] < inner[3]:
        border.paste(0, inner)
    median = tuple(ImageStat.Stat(small, border).median)
    difference = ImageChops.difference(small, Image.new("RGB", small.size, median))
    strongest = difference.convert("L").point([255 if level > 32 else 0 for level in range(256)])
    mask = strongest.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.GaussianBlur(1.0))
    is_empty = ImageStat.Stat(mask).mean[0] < 5
    # A border of many colours says nothing about the background: keep the middle.
    has_many_colors = ImageStat.Stat(mask, border).mean[0] > 75
    return _ellipse(small.size) if is_empty or has_many_colors else mask


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    scale = _MASK_PX / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _ellipse(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size, 0)
    width, height = size
    box = (width * 0.1, height * 0.05, width * 0.9, height * 0.95)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(max(min(size) / 100, 0.5)))


def _color_name(red: int, green: int, blue: int) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    if lightness < 0.12:
        return "black"
    if lightness > 0.9:
        return "white"
    shade = "dark " if lightness < 0.35 else "light " if lightness > 0.65 else ""
    if saturation < 0.12:
        return f"{shade}grey"
    return shade + next(name for limit, name in _HUES if hue * 360 < limit)
