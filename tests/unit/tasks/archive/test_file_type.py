"""Detection of file types by the first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.archive.file_type import (
    TYPES_BY_EXTENSION,
    UNKNOWN,
    file_type_of,
    is_html,
)

_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
_XML = b'<?xml version="1.0"?>\n'


@pytest.mark.parametrize(
    ("head", "extension"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "jpg"),
        (b"\x89PNG\r\n\x1a\n....", "png"),
        (b"GIF89a....", "gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "webp"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf", "avif"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "avif"),
        (_SVG, "svg"),
        (
            b"\xef\xbb\xbf\n" + _XML + b"<!-- drawn -->\n<!DOCTYPE svg [ <!ENTITY a 'b'> ]>" + _SVG,
            "svg",
        ),
        (_XML + b'<svg:svg xmlns:svg="http://www.w3.org/2000/svg"/>', "svg"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", "mp4"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "mp4"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "webm"),
        (b"ID3\x04\x00", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "wav"),
        (b"OggS\x00", "ogg"),
        (b"fLaC\x00", "flac"),
        (b"%PDF-1.7", "pdf"),
        (b"PK\x03\x04\x14", "zip"),
        (b"", "bin"),
        (b"plain words", "bin"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "bin"),
        (b"\xff\xff\xff\xff", "bin"),
        (b"RIFF", "bin"),
        (b"\xff\xd8", "bin"),
        (b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic", "heic"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ", "mov"),
        (b"\x00\x00\x00\x1cftypM4A \x00\x00\x00\x00M4A mp42isom", "m4a"),
        (b"<svgfoo>", "bin"),
    ],
)
def test_the_type_is_detected(head: bytes, extension: str) -> None:
    """Known formats are detected; everything else is UNKNOWN."""
    assert file_type_of(head) is TYPES_BY_EXTENSION[extension]


@pytest.mark.parametrize(
    "head",
    [
        b"<!DOCTYPE html><title>Moved</title>",
        b"\n\t <HTML lang=en>",
        b"\xef\xbb\xbf<!doctype\nhtml>",
        b"<!-- hello --><html>",
        _XML + b"<html xmlns='http://www.w3.org/1999/xhtml'>",
        b"<script>alert(1)</script>",
        b"<body onload=x>",
    ],
)
def test_html_is_detected(head: bytes) -> None:
    """HTML is detected after white space, comments and an XML prologue, and has no file type."""
    assert is_html(head)
    assert file_type_of(head) is UNKNOWN


@given(
    st.binary(max_size=4096)
    | st.text(alphabet="<!->?[]svg xmlhtdocype", max_size=4096).map(str.encode)
)
def test_any_bytes_have_a_type(head: bytes) -> None:
    """No bytes make it raise, and HTML is never an image."""
    file_type = file_type_of(head)

    assert file_type.extension in TYPES_BY_EXTENSION
    assert not (is_html(head) and file_type.family == "image")
