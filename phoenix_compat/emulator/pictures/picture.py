"""Draws the emulator's pictures: a landscape derived from a hash of the prompt, with a caption.

Drawing takes tens of milliseconds: call it in a thread. The same request gives the same bytes.
"""

from __future__ import annotations

import base64
import colorsys
import hashlib
import io
import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageOps

from phoenix_compat.emulator.pictures.caption import draw_caption, draw_watermark
from phoenix_compat.emulator.pictures.picture_request import PictureRequest

Color = tuple[int, int, int]

_RIDGES = 5
_PILLOW_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class _Palette:
    zenith: Color
    horizon: Color
    sun: Color
    near: Color
    has_stars: bool


def draw_picture(request: PictureRequest) -> bytes:
    """The encoded picture."""
    # JSON may contain a lone surrogate, which neither a hash nor a font accepts.
    prompt = request.prompt.encode(errors="replace").decode()
    hashed = hashlib.sha256(f"{prompt}\0{request.index}\0{request.seed}".encode()).digest()
    rng = random.Random(hashed)  # noqa: S311 - colours, not secrets
    palette = _palette(rng)
    picture = _sky(request.width, request.height, palette, rng)
    _draw_ridges(picture, palette, rng)
    picture = draw_caption(picture, prompt)
    picture = draw_watermark(picture, "emulated")
    return encoded(picture, request.format)


def data_url(prompt: str) -> str:
    """A small picture as a `data:image/png;base64,…` URL."""
    drawn = draw_picture(PictureRequest(prompt, 256, 256, "png"))
    return "data:image/png;base64," + base64.b64encode(drawn).decode()


def encoded(picture: Image.Image, file_format: str) -> bytes:
    """The bytes of a picture as `jpg`, `png` or `webp`."""
    buffer = io.BytesIO()
    # Fast rather than small: these pictures are sent over loopback.
    options = {
        "jpg": {"quality": 88},
        "png": {"compress_level": 2},
        "webp": {"quality": 85, "method": 1},
    }
    picture.save(buffer, _PILLOW_FORMATS[file_format], **options[file_format])
    return buffer.getvalue()


def _palette(rng: random.Random) -> _Palette:
    hue = rng.random()
    # Hues close to the sky's look natural; 0.45 gives a nearly complementary, poster-like one.
    horizon_hue = hue + rng.choice((0.08, 0.12, -0.1, 0.45))
    is_night = rng.random() < 0.3
    light = 0.16 if is_night else rng.uniform(0.36, 0.55)
    return _Palette(
        zenith=_color(hue, light, 0.55),
        horizon=_color(horizon_hue, 0.5 if is_night else 0.82, 0.75),
        sun=_color(horizon_hue + 0.03, 0.93, 0.9),
        near=_color(hue + rng.uniform(-0.06, 0.06), 0.1, 0.45),
        has_stars=is_night,
    )


def _color(hue: float, lightness: float, saturation: float) -> Color:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _blend(first: Color, second: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _sky(width: int, height: int, palette: _Palette, rng: random.Random) -> Image.Image:
    fall = Image.linear_gradient("L").resize((width, height), Image.Resampling.BILINEAR)
    # The gradient ends at the horizon, two thirds down; the hills cover the rest.
    fall = fall.point([min(255, round(level * 1.45)) for level in range(256)])
    sky = ImageOps.colorize(fall, palette.zenith, palette.horizon)
    if palette.has_stars:
        _draw_stars(sky, rng)
    _draw_sun(sky, palette, rng)
    return sky


def _draw_stars(sky: Image.Image, rng: random.Random) -> None:
    pen = ImageDraw.Draw(sky, "RGBA")
    for _ in range(sky.width * sky.height // 7000):
        x, y = rng.uniform(0, sky.width), rng.uniform(0, sky.height * 0.55)
        radius = rng.choice((0.6, 0.6, 1.0, 1.6))
        light = (255, 255, 255, rng.randint(60, 220))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=light)


def _draw_sun(sky: Image.Image, palette: _Palette, rng: random.Random) -> None:
    side = min(sky.size)
    radius = int(side * rng.uniform(0.06, 0.12))
    x = int(sky.width * rng.uniform(0.2, 0.8))
    y = int(sky.height * rng.uniform(0.18, 0.45))
    glow = int(side * 0.9)
    halo = ImageOps.invert(Image.radial_gradient("L")).resize((glow, glow))
    # Squared, so that the halo fades softly and leaves the corners of its square untouched.
    halo = halo.point([round((max(level - 74, 0) / 181) ** 2 * 170) for level in range(256)])
    sky.paste(palette.sun, (x - glow // 2, y - glow // 2), halo)
    disk = Image.new("L", (radius * 8, radius * 8), 0)
    ImageDraw.Draw(disk).ellipse((0, 0, radius * 8 - 1, radius * 8 - 1), fill=255)
    disk = disk.reduce(4)
    sky.paste(palette.sun, (x - radius, y - radius), disk)


def _draw_ridges(picture: Image.Image, palette: _Palette, rng: random.Random) -> None:
    for number in range(_RIDGES):
        nearness = (number + 1) / _RIDGES
        top = picture.height * (0.46 + 0.4 * (number / _RIDGES))
        swing = picture.height * (0.09 - 0.045 * nearness)
        mask = _ridge_mask(picture.size, top, swing, rng)
        foot = _blend(palette.horizon, palette.near, nearness * 0.8)
        # Each ridge is darkest at its crest and fades towards the next one.
        crest = _blend(palette.horizon, palette.near, min(nearness * 0.95 + 0.08, 1.0))
        fall = Image.linear_gradient("L").resize(picture.size, Image.Resampling.BILINEAR)
        picture.paste(ImageOps.colorize(fall, crest, foot), mask=mask)


def _ridge_mask(size: tuple[int, int], top: float, swing: float, rng: random.Random) -> Image.Image:
    width, height = size[0] * 2, size[1] * 2
    # Octaves: each wave has half the length and about half the height of the previous one.
    waves = [
        (2**octave * rng.uniform(0.7, 1.3), rng.uniform(0, math.tau), 0.52**octave)
        for octave in range(6)
    ]
    outline: list[tuple[float, float]] = []
    for x in range(0, width + 8, 8):
        turn = x / width * math.tau
        rise = sum(
            height * math.sin(turn * frequency + phase) for frequency, phase, height in waves
        )
        outline.append((x, 2 * (top - swing * rise)))
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).polygon([*outline, (width, height), (0, height)], fill=255)
    # Drawn at twice the size and halved: Pillow does not antialias polygons.
    return mask.reduce(2)
