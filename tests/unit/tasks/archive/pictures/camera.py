"""Pictures as cameras write them: with a place, an orientation, and further data at the end."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image, ImageOps
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


def gif(_orientation: int = 1) -> bytes:
    """A moving GIF with a comment, XMP, and more after its end."""
    buffer = io.BytesIO()
    frames = [picture().convert("P"), ImageOps.mirror(picture()).convert("P")]
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], loop=0, comment=PLACE.encode()
    )
    content = buffer.getvalue()
    end = content.rindex(b";")
    magic = bytes([1, *range(255, -1, -1), 0])
    return content[:end] + b"\x21\xff\x0bXMP DataXMP" + XMP + magic + b";" + PLACE.encode()


def avif(_orientation: int = 1) -> bytes:
    """An AVIF with EXIF and XMP."""
    buffer = io.BytesIO()
    picture().save(buffer, "AVIF", exif=exif(), xmp=XMP, quality=90)
    return buffer.getvalue()


def box(kind: bytes, *content: bytes, is_wide: bool = False) -> bytes:
    """A box of an MP4 or MOV."""
    body = b"".join(content)
    if is_wide:
        return struct.pack(">I4sQ", 1, kind, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, kind) + body


def video(brand: bytes = b"isom", *, is_wide: bool = False) -> bytes:
    """The boxes of a video with a place: as phones write it, as QuickTime does, and as XMP."""
    place = PLACE.encode()
    keys = box(b"keys", b"mdta com.apple.quicktime.location.ISO6709", place)
    return b"".join(
        (
            box(b"ftyp", brand, bytes(4), brand),
            box(
                b"moov",
                box(b"mvhd", bytes(100)),
                box(b"trak", box(b"tkhd", bytes(84)), box(b"udta", place, is_wide=is_wide)),
                box(b"udta", box(b"\xa9xyz", place, is_wide=is_wide)),
                box(b"meta", keys, is_wide=is_wide),
            ),
            box(b"uuid", bytes(16), XMP, is_wide=is_wide),
            box(b"mdat", b"samples " * 40_000),
        )
    )


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
