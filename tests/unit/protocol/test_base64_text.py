"""base64 as Elixir reads it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.protocol.base64_text import Base64Error, decode_base64


@given(st.binary())
def test_what_was_encoded_is_decoded(data: bytes) -> None:
    """Whole padding always counts; none counts where it is optional."""
    encoded = base64.b64encode(data)

    assert decode_base64(encoded) == data
    assert decode_base64(encoded, is_padding_optional=True) == data
    assert decode_base64(encoded.rstrip(b"="), is_padding_optional=True) == data


@pytest.mark.parametrize("is_optional", [False, True])
@pytest.mark.parametrize(
    "text",
    [b"YQ=", b"YQ===", b"YWJj=", b"YWJj====", b"=", b"====", b"YQ==YQ==", b"YQ==\n", b"Y", b"_-_-"],
)
def test_wrong_padding_is_an_error(text: bytes, is_optional: bool) -> None:
    """B8: padding that does not fit is refused, even where none is needed."""
    with pytest.raises(Base64Error, match="padding"):
        decode_base64(text, is_padding_optional=is_optional)


@pytest.mark.parametrize("text", [b"YQ", b"YWI"])
def test_missing_padding_is_an_error_unless_it_is_optional(text: bytes) -> None:
    """Elixir's `decode64!/1` needs the padding."""
    with pytest.raises(Base64Error, match="padding"):
        decode_base64(text)
