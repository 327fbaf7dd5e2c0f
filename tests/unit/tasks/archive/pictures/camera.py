"""Pictures as cameras write them: with a place, an orientation, and further data at the end."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.PngImagePlugin import PngInfo

PLACE = "48.8584N"
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><exif:GPSLatitude>{PLACE}</exif:GPSLatitude>'.encode()
RED, BLUE = (250, 10, 10), (10, 10, 250)


def picture(mode: str = "RGB", size: tuple[int, int] = (80, 40)) -> Image.Image:
    """A picture whose left half is red, and whose right half is blue."""
    made = Image.new("RGB", size, RED)
    made.paste(BLUE, (size[0] // 2, 0, size[0], size[1]))
    return made.convert(mode)


def exif(orientation: int = 1) -> Image.Exif:
    """EXIF with a place, the name of a camera and an orientation."""
    made = Image.Exif()
    made[Base.Orientation] = orientation
    made[Base.Make] = "Camera of Ada"
    made.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = PLACE
    return made


def jpeg(orientation: int = 1, mode: str = "RGB", size: tuple[int, int] = (80, 40)) -> bytes:
    """A JPEG with EXIF, XMP, IPTC, a comment, a profile, and a second picture after its end."""
    buffer = io.BytesIO()
    picture(mode, size).save(
        buffer,
        "JPEG",
        exif=exif(orientation),
        xmp=XMP,
        comment=f"at {PLACE}",
        icc_profile=b"profile " * 20,
        quality=95,
        progressive=orientation % 2 == 1,
    )
    content = buffer.getvalue()
    iptc = f"Photoshop 3.0\0{PLACE}".encode()
    segment = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    return content[:2] + segment + content[2:] + b"\xff\xd8 the second, at " + PLACE.encode()


def png(orientation: int = 1) -> bytes:
    """A PNG with EXIF, XMP and a text, and more after its end."""
    texts = PngInfo()
    texts.add_text("Location", PLACE)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    buffer = io.BytesIO()
    picture().save(buffer, "PNG", exif=exif(orientation), pnginfo=texts)
    return buffer.getvalue() + PLACE.encode()


def webp(orientation: int = 1) -> bytes:
    """A WebP with EXIF and XMP, and more after its end."""
    buffer = io.BytesIO()
    picture().save(buffer, "WEBP", exif=exif(orientation), xmp=XMP, lossless=True)
    return buffer.getvalue() + PLACE.encode()


def png_bomb(side_px: int = 30_000) -> bytes:
    """A small PNG that says that it has nearly a billion pixels."""
    head = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000), 9)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def exif_bomb(segments: int = 30_000) -> bytes:
    """A JPEG with this many segments with EXIF."""
    content = jpeg()
    return content[:2] + b"\xff\xe1\x00\x08Exif\0\0" * segments + content[2:]


def pixels(content: bytes) -> Image.Image:
    """The decoded picture."""
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        return opened.copy()
