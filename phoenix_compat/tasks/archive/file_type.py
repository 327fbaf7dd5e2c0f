"""Detects a file's type from its first bytes. Its name and Content-Type header are ignored.

It also detects HTML, because a browser would run scripts in a file that it takes for a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 4_096
"""The number of bytes that are examined."""


@dataclass(frozen=True, slots=True)
class FileType:
    """A file type: the extension without a dot, and the content type."""

    extension: str
    content_type: str

    @property
    def family(self) -> str:
        """The first part of the content type: image, video, audio or application."""
        return self.content_type.partition("/")[0]


UNKNOWN = FileType("bin", "application/octet-stream")

_HTML = re.compile(rb"<(!doctype\s+html|html|head|body|title|script|iframe|meta|h1|p)\b", re.I)
_XML_PROLOGUE = re.compile(
    rb"\s*(<\?.*?\?>|<!--.*?-->|<!doctype[^<>\[]*(\[.*?\])?\s*>)", re.I | re.S
)
_SVG = re.compile(rb"<([\w.-]+:)?svg[\s>/]", re.I)
_MP4_BRANDS = b"isom iso2 iso3 iso4 iso5 iso6 mp41 mp42 avc1 dash".split()
_BOM = b"\xef\xbb\xbf"


def _starts(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(prefixes)


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(b"RIFF") and head[8:12] == form


def _has_brand(head: bytes, *brands: bytes) -> bool:
    if head[4:8] != b"ftyp":
        return False
    # The major brand, its version, then the compatible brands, four bytes each.
    end = min(int.from_bytes(head[:4]), len(head))
    found = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    return not found.isdisjoint(brands)


def _is_avif(head: bytes) -> bool:
    return _has_brand(head, b"avif", b"avis")


def _is_heic(head: bytes) -> bool:
    return _has_brand(head, b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")


def _is_major(head: bytes, *brands: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in brands


def _is_quicktime(head: bytes) -> bool:
    return _is_major(head, b"qt  ")


def _is_m4a(head: bytes) -> bool:
    return _is_major(head, b"M4A ", b"M4B ")


def _is_mp4(head: bytes) -> bool:
    return _has_brand(head, *_MP4_BRANDS)


def _is_webm(head: bytes) -> bool:
    return head.startswith(b"\x1aE\xdf\xa3") and b"webm" in head[:64]


def _is_mp3(head: bytes) -> bool:
    if head.startswith(b"ID3"):
        return True
    # A frame: eleven bits set, a known version, layer III, and no reserved rate.
    return (
        len(head) >= 4
        and head[0] == 0xFF
        and head[1] & 0xE6 == 0xE2
        and head[1] & 0x18 != 0x08
        and head[2] & 0xF0 != 0xF0
        and head[2] & 0x0C != 0x0C
    )


def _is_svg(head: bytes) -> bool:
    return _SVG.match(_without_prologue(head)) is not None


def is_html(head: bytes) -> bool:
    """Whether a browser could take the file for a web page."""
    return _HTML.match(head.removeprefix(_BOM).lstrip()) is not None or (
        _HTML.match(_without_prologue(head)) is not None
    )


def _without_prologue(head: bytes) -> bytes:
    rest = head.removeprefix(_BOM)
    while (found := _XML_PROLOGUE.match(rest)) is not None:
        if _HTML.match(found[1]):
            break
        rest = rest[found.end() :]
    return rest.lstrip()


_TYPES: tuple[tuple[FileType, Callable[[bytes], bool]], ...] = (
    (FileType("jpg", "image/jpeg"), _starts(b"\xff\xd8\xff")),
    (FileType("png", "image/png"), _starts(b"\x89PNG\r\n\x1a\n")),
    (FileType("gif", "image/gif"), _starts(b"GIF87a", b"GIF89a")),
    (FileType("webp", "image/webp"), _riff(b"WEBP")),
    (FileType("avif", "image/avif"), _is_avif),
    (FileType("heic", "image/heic"), _is_heic),
    (FileType("svg", "image/svg+xml"), _is_svg),
    (FileType("mov", "video/quicktime"), _is_quicktime),
    (FileType("m4a", "audio/mp4"), _is_m4a),
    (FileType("mp4", "video/mp4"), _is_mp4),
    (FileType("webm", "video/webm"), _is_webm),
    (FileType("mp3", "audio/mpeg"), _is_mp3),
    (FileType("wav", "audio/wav"), _riff(b"WAVE")),
    (FileType("ogg", "audio/ogg"), _starts(b"OggS")),
    (FileType("flac", "audio/flac"), _starts(b"fLaC")),
    (FileType("pdf", "application/pdf"), _starts(b"%PDF-")),
    (FileType("zip", "application/zip"), _starts(b"PK\x03\x04")),
)

TYPES_BY_EXTENSION = {file_type.extension: file_type for file_type, _ in _TYPES} | {
    UNKNOWN.extension: UNKNOWN
}


def file_type_of(head: bytes) -> FileType:
    """The type of a file that begins with these bytes; `UNKNOWN` if no type matches."""
    return next((file_type for file_type, fits in _TYPES if fits(head)), UNKNOWN)
