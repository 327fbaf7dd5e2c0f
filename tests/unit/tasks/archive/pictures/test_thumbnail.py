"""Thumbnails: formats, sizes, orientation, and broken or huge pictures."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from phoenix_compat.tasks.archive.pictures.thumbnail import draw_thumbnail
from phoenix_compat.tasks.archive.thumbnails import ThumbnailError

LANDSCAPE = Image.new("RGB", (1024, 256), "red")


def thumbnail_of(path: Path, picture: Image.Image, file_format: str, **options: Any) -> Image.Image:
    """The thumbnail of a picture that was saved in this format."""
    picture.save(path, file_format, **options)
    return Image.open(io.BytesIO(draw_thumbnail(path)))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_every_format_has_a_thumbnail(tmp_path: Path, file_format: str) -> None:
    """The thumbnail is WebP, at most 512 pixels long, with the same proportions."""
    small = thumbnail_of(tmp_path / "x", LANDSCAPE, file_format)

    assert (small.format, small.size) == ("WEBP", (512, 128))


def test_a_small_picture_stays_small(tmp_path: Path) -> None:
    """A picture is never enlarged."""
    assert thumbnail_of(tmp_path / "x", Image.new("RGB", (7, 5)), "PNG").size == (7, 5)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "CMYK"])
def test_every_mode_has_a_thumbnail(tmp_path: Path, mode: str) -> None:
    """Palette, greyscale, 16-bit and CMYK pictures have thumbnails."""
    file_format = "JPEG" if mode == "CMYK" else "PNG"

    assert thumbnail_of(tmp_path / "x", Image.new(mode, (64, 64)), file_format).size == (64, 64)


def test_transparency_is_kept(tmp_path: Path) -> None:
    """The thumbnail of a transparent picture is transparent."""
    small = thumbnail_of(tmp_path / "x", Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "PNG")

    assert small.mode == "RGBA"
    assert small.getchannel("A").getextrema() == (0, 0)


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    """A rotated photo has an upright thumbnail."""
    exif = Image.Exif()
    exif[0x0112] = 6

    assert thumbnail_of(tmp_path / "x", LANDSCAPE, "JPEG", exif=exif).size == (128, 512)


@pytest.mark.parametrize("side", [9_500, 20_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused(tmp_path: Path, side: int) -> None:
    """A picture with more pixels than Pillow's limit is refused because of its header."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    (tmp_path / "x").write_bytes(bomb)

    with pytest.raises(ThumbnailError):
        draw_thumbnail(tmp_path / "x")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_a_broken_picture_raises_only_thumbnail_error(tmp_path: Path, file_format: str) -> None:
    """A picture that is cut or damaged at any place is drawn, or raises ThumbnailError."""
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(whole, file_format)
    content = whole.getvalue()

    for at in range(0, len(content), max(len(content) // 40, 1)):
        for broken in (content[:at], content[:at] + b"\xff\x00\xff" + content[at + 3 :]):
            (tmp_path / "x").write_bytes(broken)
            try:
                draw_thumbnail(tmp_path / "x")
            except ThumbnailError:
                continue


def test_other_formats_are_refused(tmp_path: Path) -> None:
    """Pillow's other decoders are not used."""
    LANDSCAPE.save(tmp_path / "x", "TIFF")

    with pytest.raises(ThumbnailError):
        draw_thumbnail(tmp_path / "x")
