"""Drawing pictures, their captions and their sizes."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image, ImageChops

from phoenix_compat.emulator.pictures.caption import draw_caption, draw_watermark
from phoenix_compat.emulator.pictures.picture import data_url, draw_picture
from phoenix_compat.emulator.pictures.picture_request import PictureRequest
from phoenix_compat.emulator.pictures.picture_size import picture_size


def opened(drawn: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(drawn))
    picture.load()
    return picture


@pytest.mark.parametrize(("name", "format_"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_it_decodes_in_the_format_and_size_asked(name: str, format_: str) -> None:
    """The bytes are a real picture in this format and size."""
    picture = opened(draw_picture(PictureRequest("Medieval monk", 320, 192, name)))

    assert (picture.format, picture.size) == (format_, (320, 192))


def test_the_same_request_gives_the_same_bytes() -> None:
    """A picture depends only on its request."""
    request = PictureRequest("Medieval monk", 128, 128, "png")

    assert draw_picture(request) == draw_picture(request)


@pytest.mark.parametrize(
    "other",
    [
        PictureRequest("Another monk", 128, 128, "png"),
        PictureRequest("Medieval monk", 128, 128, "png", index=1),
        PictureRequest("Medieval monk", 128, 128, "png", seed="7"),
    ],
)
def test_another_request_gives_another_picture(other: PictureRequest) -> None:
    """Prompt, index and seed each change what is drawn."""
    assert draw_picture(other) != draw_picture(PictureRequest("Medieval monk", 128, 128, "png"))


@pytest.mark.parametrize("prompt", ["", "Ёжик в тумане", "霧の中の針鼠 🦔", "\ud83e", "x" * 5000])
def test_any_prompt_can_be_drawn(prompt: str) -> None:
    """The prompt may be empty, very long, or contain emoji and lone surrogates."""
    assert opened(draw_picture(PictureRequest(prompt, 64, 64, "png"))).size == (64, 64)


def test_the_prompt_is_written_at_the_bottom() -> None:
    """A caption puts bright text on the lower part and leaves the upper part unchanged."""
    blank = Image.new("RGB", (600, 600), (40, 90, 60))

    captioned = draw_caption(blank, "A monk reads by candle light")

    upper, lower, *_ = ImageChops.difference(blank, captioned).getbbox() or (0, 0)
    assert lower > 400
    assert upper > 0
    assert max(captioned.convert("L").crop((0, 500, 600, 600)).tobytes()) > 200


def test_a_long_prompt_is_wrapped_and_cut() -> None:
    """A caption grows with its lines, up to a limit."""
    blank = Image.new("RGB", (600, 600), (40, 90, 60))

    tops = [
        (ImageChops.difference(blank, draw_caption(blank, "word " * count)).getbbox() or (0, 0))[1]
        for count in (3, 20, 300, 3000)
    ]

    assert tops[0] > tops[1] > tops[2] == tops[3]
    assert tops[3] > 300


def test_the_watermark_is_in_the_corner() -> None:
    """The watermark changes only the upper right corner."""
    blank = Image.new("RGB", (600, 600), (40, 90, 60))

    box = ImageChops.difference(blank, draw_watermark(blank, "emulated")).getbbox()

    assert box is not None
    assert box[0] > 400
    assert box[3] < 100


def test_a_data_url_carries_a_picture() -> None:
    """A data URL decodes to a picture too."""
    head, _, encoded = data_url("Medieval monk").partition(",")

    assert head == "data:image/png;base64"
    assert opened(base64.b64decode(encoded)).format == "PNG"


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({}, (1024, 1024)),
        ({"aspect_ratio": "16:9"}, (1408, 768)),
        ({"aspect_ratio": "9:16"}, (768, 1408)),
        ({"aspect_ratio": "21:9"}, (1568, 672)),
        ({"aspect_ratio": "Not set", "size": "1365x1024"}, (1365, 1024)),
        ({"aspect_ratio": "custom", "width": 300, "height": 400}, (300, 400)),
        ({"aspect_ratio": "match_input_image"}, (1024, 1024)),
        ({"width": 10**9, "height": 1}, (2048, 64)),
        ({"aspect_ratio": "999:1"}, (2048, 512)),
        ({"aspect_ratio": "0:0"}, (1024, 1024)),
    ],
)
def test_the_size_follows_the_input(given: dict[str, object], size: tuple[int, int]) -> None:
    """The aspect ratio has priority over size, and size over the sides; sides are limited."""
    assert picture_size(given) == size
