"""Draws a picture in terminals that can: kitty's graphics, iTerm2's inline images, and sixels.

Sources: https://sw.kovidgoyal.net/kitty/graphics-protocol/, https://iterm2.com/documentation-images.html,
and chapter 14 of the VT330/VT340 manual for sixels.
"""

# ruff: noqa: PLC0415 - see `phoenix_compat.cli`

from __future__ import annotations

import base64
import io
import os
import select
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_COLUMNS: Final = 40
_MAX_WIDTH_PX: Final = 400
_MAX_HEIGHT_PX: Final = 400
_CHUNK_CHARS: Final = 4_096
_ANSWER_TIMEOUT_S: Final = 0.3
_MAX_ANSWER_BYTES: Final = 4_096
_KITTY_QUERY: Final = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_ATTRIBUTES_QUERY: Final = b"\x1b[c"
_CLEAR_LINE: Final = b"\r\x1b[2K"
_WITHOUT_QUERIES: Final = frozenset({"dumb", "linux"})
"""Values of TERM of terminals that would print the query."""
_WITHOUT_PICTURES: Final = frozenset({"Apple_Terminal"})
"""Programs that would do so, too."""
_SIXEL_COLORS: Final = 64
_BAND_PX: Final = 6


class Protocol(Enum):
    """How a terminal takes pictures."""

    KITTY = "kitty"
    ITERM2 = "iTerm2"
    SIXEL = "sixel"


def find_protocol(
    environment: Mapping[str, str] = os.environ, *, is_asked: bool = False
) -> Protocol | None:
    """What the terminal can draw; None if nothing, or if there is no terminal. Blocking.

    Args:
        is_asked: whether the user wants a picture, so that iTerm2's way is tried if all else fails.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    names = {environment.get("TERM_PROGRAM"), environment.get("LC_TERMINAL")}
    if environment.get("TERM") in _WITHOUT_QUERIES or names & _WITHOUT_PICTURES:
        return None
    if "iTerm.app" in names or "iTerm2" in names:
        return Protocol.ITERM2
    return protocol_of(_answer()) or (Protocol.ITERM2 if is_asked else None)


def protocol_of(answer: bytes) -> Protocol | None:
    """The protocol that a terminal's answer names."""
    if b"\x1b_Gi=31;OK" in answer:
        return Protocol.KITTY
    _, _, attributes = answer.rpartition(b"\x1b[?")
    if b"4" in attributes.partition(b"c")[0].split(b";")[1:]:
        return Protocol.SIXEL
    return None


def draw(data: bytes, protocol: Protocol) -> None:
    """Draw a picture on standard output; nothing if it cannot be read. Blocking."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.thumbnail((_MAX_WIDTH_PX, _MAX_HEIGHT_PX))
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return
    sys.stdout.write("".join(encoded(picture, protocol)) + "\n")
    sys.stdout.flush()


def encoded(picture: Image, protocol: Protocol) -> Iterator[str]:
    """What to write to the terminal, in parts."""
    match protocol:
        case Protocol.KITTY:
            return _kitty(picture)
        case Protocol.ITERM2:
            return _iterm2(picture)
        case Protocol.SIXEL:
            return _sixel(picture)


def _kitty(picture: Image) -> Iterator[str]:
    text = _png(picture)
    chunks = [text[at : at + _CHUNK_CHARS] for at in range(0, len(text), _CHUNK_CHARS)]
    for number, chunk in enumerate(chunks):
        first = f"a=T,f=100,q=2,c={MAX_COLUMNS}," if number == 0 else ""
        has_more = int(number < len(chunks) - 1)
        yield f"\x1b_G{first}m={has_more};{chunk}\x1b\\"


def _iterm2(picture: Image) -> Iterator[str]:
    yield f"\x1b]1337;File=inline=1;width={MAX_COLUMNS}:{_png(picture)}\a"


def _sixel(picture: Image) -> Iterator[str]:
    indexed = picture.quantize(_SIXEL_COLORS)
    width, height = indexed.size
    pixels = indexed.tobytes()
    palette = indexed.getpalette() or []
    yield f'\x1bPq"1;1;{width};{height}'
    for color in range(len(palette) // 3):
        red, green, blue = (part * 100 // 255 for part in palette[3 * color : 3 * color + 3])
        yield f"#{color};2;{red};{green};{blue}"
    for top in range(0, height, _BAND_PX):
        rows = [
            pixels[row * width : (row + 1) * width]
            for row in range(top, min(top + _BAND_PX, height))
        ]
        yield "$".join(_band(rows, width)) + "-"
    yield "\x1b\\"


def _band(rows: list[bytes], width: int) -> Iterator[str]:
    """Six rows of pixels: for each color which of them it has."""
    bits: dict[int, bytearray] = {}
    for number, row in enumerate(rows):
        bit = 1 << number
        for x, color in enumerate(row):
            if color not in bits:
                bits[color] = bytearray(width)
            bits[color][x] |= bit
    for color, columns in bits.items():
        yield f"#{color}" + "".join(_runs(columns))


def _runs(columns: bytearray) -> Iterator[str]:
    start = 0
    for end in range(1, len(columns) + 1):
        if end == len(columns) or columns[end] != columns[start]:
            character, count = chr(0x3F + columns[start]), end - start
            yield f"!{count}{character}" if count > 3 else character * count
            start = end


def _png(picture: Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _answer() -> bytes:
    """What the terminal answers to both queries; every terminal answers the second one."""
    try:
        with _raw_input() as descriptor:
            os.write(sys.stdout.fileno(), _KITTY_QUERY + _ATTRIBUTES_QUERY)
            answer = _read_answer(descriptor)
            os.write(sys.stdout.fileno(), _CLEAR_LINE)
            return answer
    except (OSError, ValueError, ImportError):
        return b""


def _read_answer(descriptor: int) -> bytes:
    answer = b""
    end_s = time.monotonic() + _ANSWER_TIMEOUT_S
    while len(answer) < _MAX_ANSWER_BYTES:
        left_s = end_s - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            break
        answer += os.read(descriptor, _MAX_ANSWER_BYTES)
        if b"c" in answer.rpartition(b"\x1b[?")[2] and b"\x1b[?" in answer:
            break
    return answer


@contextmanager
def _raw_input() -> Iterator[int]:
    """Standard input without echo and without waiting for a line."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
