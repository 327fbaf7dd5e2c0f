"""Decoding of `data:` URLs."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.archive.data_url import (
    data_url_blocks,
    decode_data_url,
    is_data_url,
)
from phoenix_compat.tasks.archive.errors import ArchiveError, FileTooLargeError, WrongFileError


@given(st.binary(max_size=200))
def test_base64_is_decoded(content: bytes) -> None:
    """Padding and line breaks are optional, and upper case is accepted."""
    text = base64.b64encode(content).decode()

    for url in (
        f"data:image/png;base64,{text}",
        f"DATA:;charset=x;BASE64,{text.rstrip('=')}",
        f"data:;base64,{text[:7]}\n{text[7:]}".replace("+", "%2B"),
    ):
        assert is_data_url(url)
        assert decode_data_url(url, 200) == content


def test_plain_text_is_decoded() -> None:
    """Without base64 the content is percent-encoded; a plus sign stays a plus sign."""
    assert decode_data_url("data:,a+b%20%3Csvg%2F%3E", 100) == b"a+b <svg/>"


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:;base64,a", "data:;base64,a*b="])
def test_an_invalid_url_is_refused(url: str) -> None:
    """A URL without a comma or with invalid base64 is malformed."""
    with pytest.raises(WrongFileError) as refused:
        decode_data_url(url, 100)

    assert refused.value.reason == "malformed"


@pytest.mark.parametrize("url", ["data:," + "a" * 11, "data:," + "%41" * 1000])
def test_a_large_file_is_refused(url: str) -> None:
    """Content above the limit is refused; far larger content is not even decoded."""
    with pytest.raises(FileTooLargeError):
        decode_data_url(url, 10)


@given(st.text(max_size=200))
def test_any_text_is_decoded_or_refused(text: str) -> None:
    """Any text is decoded within the limit, or refused with an ArchiveError."""
    try:
        content = decode_data_url(f"data:{text}", 50)
    except ArchiveError:
        return
    assert len(content) <= 50


@pytest.mark.parametrize("size_bytes", [0, 1, 2, 3, 196_607, 196_608, 196_609, 500_000])
@pytest.mark.parametrize("line_chars", [0, 76])
def test_a_long_url_is_decoded_in_blocks(size_bytes: int, line_chars: int) -> None:
    """The blocks make the content, wherever its padding and its line breaks are."""
    content = bytes(index * 7 % 256 for index in range(size_bytes))
    text = base64.b64encode(content).decode()
    if line_chars:
        text = "\r\n".join(text[at : at + line_chars] for at in range(0, len(text), line_chars))

    blocks = list(data_url_blocks(f"data:image/png;base64,{text}\n", size_bytes))

    assert b"".join(blocks) == content
    assert all(len(block) <= 196_608 for block in blocks)


@pytest.mark.parametrize("tail", ["=AAAA", "*", "é", "AAA=A"])
def test_blocks_of_an_invalid_url_are_refused(tail: str) -> None:
    """Padding in the middle, and characters that are not base64, are malformed."""
    with pytest.raises(WrongFileError):
        list(data_url_blocks("data:;base64," + "A" * 262_143 + tail + "A" * 400_000, 10**6))


def test_blocks_beyond_the_limit_are_refused() -> None:
    """A content of one byte more than the limit is too large."""
    url = f"data:;base64,{base64.b64encode(bytes(301)).decode()}"

    with pytest.raises(FileTooLargeError):
        list(data_url_blocks(url, 300))
