"""Writes text on a picture: the prompt as a wrapped caption, and a watermark in the corner."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MAX_LINES = 4
# Pillow's built-in font has only Latin letters; other scripts need a font of the system.
_WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")
_LAST_LATIN = "\u024f"


def draw_caption(picture: Image.Image, text: str, side_px: int | None = None) -> Image.Image:
    """The picture with the text on a dark box at the bottom; without text, the same picture.

    Args:
        side_px: the shorter side that the size of the text follows; None takes the picture's own.
    """
    words = " ".join(text.split())
    if not words:
        return picture
    side = side_px or min(picture.size)
    font = _font(max(side // 26, 10), is_latin=_is_latin(words))
    margin = side // 20
    padding = side // 36
    lines = _wrapped(words, font, picture.width - 2 * (margin + padding))
    line_px = round(_height(font) * 1.3)
    top = picture.height - margin - 2 * padding - line_px * len(lines)
    overlay = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(overlay)
    frame = (margin, top, picture.width - margin, picture.height - margin)
    draw.rounded_rectangle(frame, radius=padding, fill=(10, 12, 20, 150))
    for number, line in enumerate(lines):
        at = (margin + padding, top + padding + number * line_px)
        draw.text(at, line, font=font, fill=(255, 255, 255, 240))
    return Image.alpha_composite(picture.convert("RGBA"), overlay).convert("RGB")


def draw_watermark(picture: Image.Image, text: str, side_px: int | None = None) -> Image.Image:
    """The picture with the text in a small rounded box in its upper right corner.

    Args:
        side_px: as for `draw_caption`.
    """
    side = side_px or min(picture.size)
    font = _font(max(side // 48, 9), is_latin=True)
    padding = side // 90 + 2
    width, height = font.getbbox(text)[2] + 4 * padding, _height(font) + 2 * padding
    right, top = picture.width - side // 28, side // 28
    overlay = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(overlay)
    frame = (right - width, top, right, top + height)
    draw.rounded_rectangle(frame, radius=height / 2, fill=(255, 255, 255, 60))
    middle = ((frame[0] + frame[2]) / 2, (frame[1] + frame[3]) / 2)
    draw.text(middle, text, font=font, fill=(255, 255, 255, 210), anchor="mm")
    return Image.alpha_composite(picture.convert("RGBA"), overlay).convert("RGB")


def _is_latin(text: str) -> bool:
    return all(letter <= _LAST_LATIN or "\u2010" <= letter <= "\u2026" for letter in text)


@lru_cache(maxsize=32)
def _font(size_px: int, *, is_latin: bool) -> Font:
    for name in () if is_latin else _WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size_px)
        except OSError:
            continue
    return ImageFont.load_default(size_px)


def _height(font: Font) -> int:
    return round(font.getbbox("Ág")[3])


def _wrapped(text: str, font: Font, width_px: int) -> list[str]:
    lines: list[str] = []
    rest = text
    while rest and len(lines) < _MAX_LINES:
        length = _fitting(rest, font, width_px)
        lines.append(rest[:length].rstrip())
        rest = rest[length:].lstrip()
    if rest:
        last = lines[-1]
        while last and font.getlength(f"{last}…") > width_px:
            last = last[:-1]
        lines[-1] = f"{last.rstrip()}…"
    return lines


def _fitting(text: str, font: Font, width_px: int) -> int:
    """How many leading characters fit; it breaks at a space unless one word is too wide."""
    length = 1
    while length < len(text) and font.getlength(text[: length + 1]) <= width_px:
        length += 1
    if length == len(text) or text[length] == " ":
        return length
    space = text.rfind(" ", 0, length)
    return space if space > 0 else length
