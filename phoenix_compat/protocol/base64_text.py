"""Reads base64 as Elixir's `Base.decode64/2` does: the standard alphabet, and padding that fits.

Python's own decoder accepts texts that Elixir refuses, such as `YWJj=`.

Source: elixir 1.18, lib/elixir/lib/base.ex.
"""

from __future__ import annotations

import base64
import re
from typing import Final

_QUADS: Final = rb"(?:[A-Za-z0-9+/]{4})*+"
_PADDED: Final = re.compile(_QUADS + rb"(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_UNPADDED: Final = re.compile(_QUADS + rb"(?:[A-Za-z0-9+/]{2,3})?")


class Base64Error(ValueError):
    """A text is not base64, or its padding is wrong."""


def decode_base64(data: bytes, *, is_padding_optional: bool = False) -> bytes:
    """The bytes that a base64 text stands for.

    Args:
        is_padding_optional: whether the padding may be left out, as with `padding: false`. Padding
            that is there must be complete all the same.

    Raises:
        Base64Error: the text is not base64.
    """
    if _PADDED.fullmatch(data):
        return base64.b64decode(data)
    if is_padding_optional and _UNPADDED.fullmatch(data):
        return base64.b64decode(data + b"=" * (-len(data) % 4))
    raise Base64Error("the text is not base64, or its padding is wrong")
