"""Converts JSON values to text as Elixir's `to_string/1` does; a ref need not be a string.

    null → ""   true → "true"   1 → "1"   1.0 → "1.0"   1e3 → "1.0e3"   [97, "b"] → "ab"

Source: Elixir 1.18, lib/string/chars.ex; Erlang/OTP, float_to_binary(Float, [short]).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from phoenix_compat.errors import EncodeError

_MAX_CHARS: Final = 255
"""Longer texts fit in no field of a binary message."""
_ALWAYS_SCIENTIFIC: Final = 2.0**53
_MAX_CODE_POINT: Final = 0x10FFFF


def elixir_text(value: Any) -> str:
    """The text of a JSON value.

    Raises:
        EncodeError: the value is an object, or a list that is not a list of characters and texts.
    """
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return _integer_text(value)
        case float():
            return _float_text(value)
        case list():
            return _list_text(value)
        case _:
            raise EncodeError("unable to convert a ref to binary: it is an object, not a string")


def _integer_text(value: int) -> str:
    if value.bit_length() > 4 * _MAX_CHARS:  # str would refuse very long ones
        raise EncodeError(f"unable to convert a ref to binary: more than {_MAX_CHARS} digits")
    return str(value)


def _float_text(value: float) -> str:
    """The shorter of the decimal and the scientific form; the decimal form if they are equal."""
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - JSON has no NaN and no infinities
    text = "".join(map(str, digits))
    minus = "-" if sign else ""
    power = len(text) - 1 + exponent if any(digits) else 0
    scientific = f"{text[0]}.{text[1:] or '0'}e{power}"
    if any(digits) and abs(value) >= _ALWAYS_SCIENTIFIC:
        return minus + scientific
    if power < 0:
        decimal = f"0.{'0' * (-power - 1)}{text}"
    else:
        whole = text[: power + 1].ljust(power + 1, "0")
        decimal = f"{whole}.{text[power + 1 :] or '0'}"
    return minus + (decimal if len(decimal) <= len(scientific) else scientific)


def _list_text(value: list[Any]) -> str:
    """The characters and texts of a list, and of the lists in it, one after the other."""
    parts: list[str] = []
    waiting: list[Any] = value[::-1]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item[::-1]
        elif isinstance(item, str):
            parts.append(item)
        elif type(item) is int and 0 <= item <= _MAX_CODE_POINT and not 0xD800 <= item <= 0xDFFF:
            parts.append(chr(item))
        else:
            raise EncodeError("unable to convert a ref to binary: a list that is not text")
    return "".join(parts)
