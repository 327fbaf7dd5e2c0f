"""JSON values as Elixir writes them in the fields of binary messages.

The texts of floats are those of `float_to_binary(value, [short])` of Erlang/OTP 25.
"""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol.elixir_text import elixir_text

FLOATS = [
    "0.0 -0.0 1.0 -1.0 10.0 100.0 1.0e3 1.2e3 12345.0 12345.678 -12345.678",
    "0.1 0.01 0.001 0.0001 1.0e-5 1.2345e-4 -1.2345e-4 1.5e-7 0.3 2.5e10",
    "9007199254740991.0 9.007199254740992e15 -9.007199254740992e15 9.007199254740994e15 1.0e15",
    "1.0e22 1.2345678901234568e17 5.0e-324 1.7976931348623157e308 1.2345e6 1.2345e8",
]


@pytest.mark.parametrize("text", " ".join(FLOATS).split())
def test_floats(text: str) -> None:
    """The shorter of the decimal and the scientific form, and always the latter from 2^53 on."""
    assert elixir_text(float(text)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("é", "é"),
        ("", ""),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (10**254, "1" + 254 * "0"),
        ([], ""),
        ([104, 105], "hi"),
        (["a", ["b", [99, []], "d"], 101], "abcde"),
        ([0, 0xD7FF, 0xE000, 0x10FFFF], "\0\ud7ff\ue000\U0010ffff"),
    ],
)
def test_other_values(value: Any, text: str) -> None:
    """null is empty, and a list is the text of its characters and texts."""
    assert elixir_text(value) == text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "it is an object"),
        (2**1020, "more than 255 digits"),
        (-(2**1020), "more than 255 digits"),
        ([None], "a list that is not text"),
        ([True], "a list that is not text"),
        ([1.0], "a list that is not text"),
        ([{}], "a list that is not text"),
        ([-1], "a list that is not text"),
        ([0xD800], "a list that is not text"),
        ([0xDFFF], "a list that is not text"),
        ([0x110000], "a list that is not text"),
        (["a", ["b", -1]], "a list that is not text"),
    ],
)
def test_values_without_a_text(value: Any, reason: str) -> None:
    """Phoenix crashes with them; the message says which value it was."""
    with pytest.raises(EncodeError, match=reason):
        elixir_text(value)
