"""Files that come as `data:` URLs."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.archive.data_url import decoded_data_url, is_data_url
from phoenix_compat.tasks.archive.errors import ArchiveError, FileTooLargeError, WrongFileError


@given(st.binary(max_size=200))
def test_base64_comes_back(content: bytes) -> None:
    """With padding or without, in lines or not, in any case of the words."""
    text = base64.b64encode(content).decode()

    for url in (
        f"data:image/png;base64,{text}",
        f"DATA:;charset=x;BASE64,{text.rstrip('=')}",
        f"data:;base64,{text[:7]}\n{text[7:]}".replace("+", "%2B"),
    ):
        assert is_data_url(url)
        assert decoded_data_url(url, 200) == content


def test_plain_text_comes_back() -> None:
    """Without base64 it is percent-encoded; a plus is a plus."""
    assert decoded_data_url("data:,a+b%20%3Csvg%2F%3E", 100) == b"a+b <svg/>"


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:;base64,a", "data:;base64,a*b="])
def test_what_cannot_be_decoded(url: str) -> None:
    """No comma, half a byte, or no base64: refused as malformed."""
    with pytest.raises(WrongFileError) as refused:
        decoded_data_url(url, 100)

    assert refused.value.reason == "malformed"


@pytest.mark.parametrize("url", ["data:," + "a" * 11, "data:," + "%41" * 1000])
def test_too_much(url: str) -> None:
    """More bytes than may be kept are refused; far more, before they are decoded."""
    with pytest.raises(FileTooLargeError):
        decoded_data_url(url, 10)


@given(st.text(max_size=200))
def test_any_text_may_follow(text: str) -> None:
    """It is decoded or refused, and nothing else happens."""
    try:
        content = decoded_data_url(f"data:{text}", 50)
    except ArchiveError:
        return
    assert len(content) <= 50
