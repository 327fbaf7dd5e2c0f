"""Pictures in terminals: which protocol a terminal has, and what is written to it."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image

from phoenix_compat.cli.tasks.terminal_picture import Protocol, encoded, find_protocol, protocol_of

KITTY = b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c"


@pytest.mark.parametrize(
    ("answer", "protocol"),
    [
        (KITTY, Protocol.KITTY),
        (b"\x1b[?62;4;22c", Protocol.SIXEL),
        (b"\x1b[?64;1;2;4c", Protocol.SIXEL),
        (b"\x1b[?4c", None),
        (b"\x1b[?62;14;22c", None),
        (b"\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1b[?62c", None),
        (b"", None),
    ],
)
def test_the_answer_of_a_terminal(answer: bytes, protocol: Protocol | None) -> None:
    """kitty's graphics are confirmed by an OK; attribute 4 means sixels, but not as the first."""
    assert protocol_of(answer) is protocol


def test_nothing_is_asked_without_a_terminal() -> None:
    """Standard output of a test is not a terminal."""
    assert find_protocol({"TERM_PROGRAM": "iTerm.app"}, is_asked=True) is None


def picture() -> Image.Image:
    """Red above blue, 16 by 13 pixels."""
    made = Image.new("RGB", (16, 13), "red")
    made.paste((0, 0, 255), (0, 7, 16, 13))
    return made


def test_kitty_and_iterm2_get_a_png() -> None:
    """In base64; kitty in chunks of which all but the last say that there are more."""
    large = Image.effect_noise((300, 300), 90).convert("RGB")

    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", "".join(encoded(large, Protocol.KITTY)))
    (inline,) = encoded(picture(), Protocol.ITERM2)

    assert len(chunks) > 1
    assert [keys.rpartition("m=")[2] for keys, _ in chunks] == ["1"] * (len(chunks) - 1) + ["0"]
    assert all(len(text) <= 4_096 for _, text in chunks)
    whole = base64.b64decode("".join(text for _, text in chunks))
    assert Image.open(io.BytesIO(whole)).size == (300, 300)
    png = inline.rpartition(":")[2].removesuffix("\a")
    assert Image.open(io.BytesIO(base64.b64decode(png))).getpixel((0, 0)) == (255, 0, 0)


def test_sixels() -> None:
    """Decoded again, each pixel has its color."""
    text = "".join(encoded(picture(), Protocol.SIXEL))

    colors, pixels = decoded(text)

    assert text.startswith('\x1bPq"1;1;16;13')
    assert text.endswith("\x1b\\")
    assert {colors[pixels[x, y]] for x in range(16) for y in range(7)} == {"100;0;0"}
    assert {colors[pixels[x, y]] for x in range(16) for y in range(7, 13)} == {"0;0;100"}
    assert len(pixels) == 16 * 13


def decoded(text: str) -> tuple[dict[int, str], dict[tuple[int, int], int]]:
    """The colors of a sixel text, and the color of each pixel that it draws."""
    colors: dict[int, str] = {}
    pixels: dict[tuple[int, int], int] = {}
    x = top = color = 0
    pattern = r"#(\d+);2;([\d;]+)|#(\d+)|!(\d+)([?-~])|([?-~])|([$-])"
    data = "#" + text.removesuffix("\x1b\\").partition("#")[2]
    for found in re.finditer(pattern, data):
        defined, rgb, used, count, repeated, single, move = found.groups()
        if defined:
            colors[int(defined)] = rgb
        elif used:
            color = int(used)
        elif move:
            x, top = 0, top + (6 if move == "-" else 0)
        else:
            bits, end = ord(repeated or single) - 0x3F, x + int(count or 1)
            for column in range(x, end):
                pixels |= {(column, top + row): color for row in range(6) if bits >> row & 1}
            x = end
    return colors, pixels
