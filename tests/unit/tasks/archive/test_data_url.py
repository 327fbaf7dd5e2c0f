"""Decoding of `data:` URLs."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.archive.data_url import decode_data_url, is_data_url
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
