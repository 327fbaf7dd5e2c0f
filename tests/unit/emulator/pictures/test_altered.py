"""Pictures that are edited, enlarged and cut out."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops, ImageStat

from phoenix_compat.emulator.pictures.altered import (
    Alteration,
    PictureTooLargeError,
    UnreadablePictureError,
    check_picture,
    cut_out,
    described_picture,
    edit,
    upscale,
    upscale_factor,
)


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def photo(width: int = 320, height: int = 200) -> Image.Image:
    """A gradient, so that a change of the places of pixels is seen."""
    gradient = Image.linear_gradient("L").resize((width, height))
    return Image.merge(
        "RGB",
        (
            gradient,
            gradient.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            Image.new("L", gradient.size, 90),
        ),
    )


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def test_an_edit_keeps_the_photo_and_changes_it() -> None:
    """Size and shapes stay; the colours change, and the prompt is on it."""
    picture = photo()

    edited = opened(edit(encoded(picture), Alteration(edit, "Make it snow", "png")))

    assert edited.size == picture.size
    difference = ImageStat.Stat(ImageChops.difference(edited.convert("RGB"), picture)).mean
    assert max(difference) > 20
    levels = list(edited.convert("L").crop((5, 60, 6, 120)).tobytes())
    assert levels == sorted(levels)
    assert levels[0] < levels[-1]


def test_the_prompt_decides_the_edit() -> None:
    """The same prompt gives the same picture, and another one another."""
    source = encoded(photo())

    first, again, other = (
        edit(source, Alteration(edit, prompt, "png")) for prompt in ("Snow", "Snow", "Rain")
    )

    assert first == again != other


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ("match_input_image", (320, 200)),
        ("1:1", (200, 200)),
        ("16:9", (320, 180)),
        ("0:1", (320, 200)),
    ],
)
def test_another_ratio_crops(ratio: str, size: tuple[int, int]) -> None:
    """Without a ratio the size is kept."""
    alteration = Alteration(edit, "Snow \ud800", "jpg", aspect_ratio=ratio)

    assert opened(edit(encoded(photo()), alteration)).size == size


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_odd_sizes_are_edited(size: tuple[int, int]) -> None:
    """The caption is left out where there is no room for it, but the picture is not."""
    content = encoded(photo(*size))

    assert opened(edit(content, Alteration(edit, "Snow", "png"))).size == size
    assert opened(cut_out(content, Alteration(cut_out, "", "png"))).size == size


def test_an_upscale_doubles() -> None:
    """Width and height, and the colours stay."""
    result = opened(upscale(encoded(photo()), Alteration(upscale, "", "jpg", factor=2.0)))

    assert result.size == (640, 400)
    small = result.resize((320, 200)).convert("RGB")
    assert max(ImageStat.Stat(ImageChops.difference(small, photo())).mean) < 5


def test_the_background_becomes_transparent() -> None:
    """What has the colour of the border is gone, and what is in the middle stays."""
    picture = Image.new("RGB", (200, 200), "white")
    picture.paste((200, 30, 30), (60, 60, 140, 140))

    result = opened(cut_out(encoded(picture), Alteration(cut_out, "", "png")))

    assert (result.format, result.mode) == ("PNG", "RGBA")
    alpha = result.getchannel("A")
    assert (alpha.getpixel((5, 5)), alpha.getpixel((100, 100))) == (0, 255)


def test_a_border_of_many_colours_leaves_the_middle() -> None:
    """A photo that fills its frame gets an oval."""
    blocks = Image.new("RGB", (9, 6))
    for place in range(0, 54, 2):
        blocks.putpixel((place % 9, place // 9), (255, 255, 255))
    picture = blocks.resize((900, 600), Image.Resampling.NEAREST)

    result = opened(cut_out(encoded(picture), Alteration(cut_out, "", "png")))

    alpha = result.getchannel("A")
    assert result.size == (900, 600)
    assert (alpha.getpixel((2, 2)), alpha.getpixel((450, 300))) == (0, 255)


@pytest.mark.parametrize(
    ("color", "name"),
    [
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
        ((128, 128, 128), "grey"),
        ((10, 20, 90), "dark blue"),
        ((250, 190, 190), "light red"),
        ((30, 160, 40), "green"),
    ],
)
def test_a_picture_is_described(color: tuple[int, int, int], name: str) -> None:
    """By its size and its colour."""
    content = encoded(Image.new("RGB", (80, 60), color), "JPEG")

    assert described_picture(content) == f"a picture of 80 by 60 pixels, mostly {name}"


def test_what_is_not_a_picture_is_refused() -> None:
    """Before it is drawn, and when it is drawn."""
    for content in (b"", b"hello", encoded(photo())[:20]):
        with pytest.raises(UnreadablePictureError):
            check_picture(content, 1.0)
        with pytest.raises(UnreadablePictureError):
            edit(content, Alteration(edit, "", "jpg"))
        with pytest.raises(UnreadablePictureError):
            described_picture(content)


def test_a_result_has_a_limit() -> None:
    """50 megapixels: a photo of 12 can be doubled, but not more."""
    photo_of_12 = encoded(Image.new("1", (4_000, 3_000)))

    check_picture(photo_of_12, 2.0)
    with pytest.raises(PictureTooLargeError):
        check_picture(photo_of_12, 3.0)


@pytest.mark.parametrize(
    ("given", "factor"),
    [
        ({"upscale_factor": "2x"}, 2.0),
        ({"upscale_factor": "None"}, 1.0),
        ({"scale": 3}, 3.0),
        ({"scale": 99}, 10.0),
        ({"scale": True}, 4.0),
        ({}, 4.0),
    ],
)
def test_the_factor_is_read(given: dict[str, object], factor: float) -> None:
    """From the names that models have for it."""
    assert upscale_factor(given) == factor
