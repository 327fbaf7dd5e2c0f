"""Reads and writes JSON by the rules of Jason, Phoenix's JSON library, with msgspec.

It is stricter than Python's `json`: NaN, Infinity, 1E400, lone surrogates, a byte order mark and
raw control characters are errors. If an object has equal keys, the first one wins.

Differs from Phoenix: nesting beyond Python's recursion limit (about 1 000 levels) is refused as
malformed, because CPython limits it. Floats are written as `1e16` where Jason writes `1.0e16`; the
values are equal.

Source: jason 1.4.5, lib/decoder.ex and lib/encoder.ex (behaviour recorded from Phoenix 1.8.12).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeVar

import msgspec

from phoenix_compat.errors import EncodeError, InvalidMessageError, RemoteProtocolError
from phoenix_compat.protocol.message import JSON

T = TypeVar("T")


def _dump_model(value: Any) -> Any:
    """What msgspec asks for objects that it does not know: the JSON of a pydantic model."""
    if not callable(dump := getattr(value, "model_dump", None)):
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return dump(mode="json", by_alias=True)


_encode = msgspec.json.Encoder(enc_hook=_dump_model).encode

MAX_INTEGER_CHARS: Final = 1_024
"""Jason refuses a longer integer, sign included; a float may be longer."""
_DIGITS_ONLY: Final = bytes(0x30 if byte in b"0123456789" else 0x20 for byte in range(256))
_TOO_MANY_DIGITS: Final = b"0" * MAX_INTEGER_CHARS

Buffer = bytes | bytearray


def encode(value: JSON) -> bytes:
    """Write a value as compact JSON: no spaces, raw UTF-8.

    Keys that are numbers become strings, as in Jason. Bytes inside a value become base64 text, NaN
    and Infinity become null; neither exists in Elixir's JSON. Structs, dataclasses and pydantic
    models become objects.

    Raises:
        EncodeError: the value is not JSON (an object of another class, a lone surrogate, a key that
            is neither a string nor a number, a value that contains itself).
    """
    try:
        data = _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EncodeError(f"payload is not JSON: {error}") from error
    if _BACKSLASH in data and b"\\u00" in data:  # the search for one byte costs almost nothing
        return _CONTROL_ESCAPE.sub(_upper_case_hex, data)
    return data


_BACKSLASH: Final = 0x5C

_CONTROL_ESCAPE: Final = re.compile(rb"\\(?:u00[0-9a-f]{2}|.)", re.DOTALL)


def _upper_case_hex(escape: re.Match[bytes]) -> bytes:
    """Jason writes `\\u001F` where msgspec writes `\\u001f`."""
    text = escape.group()
    return b"\\u" + text[2:].upper() if text.startswith(b"\\u") else text


def to_json(value: Any) -> JSON:
    """The value as `encode` writes it, as JSON values: typed objects become dicts.

    Raises:
        EncodeError: as for `encode`.
    """
    return _decode(encode(value))


_decode = msgspec.json.Decoder().decode


def is_object(value: Any) -> bool:
    """Whether `encode` writes an object for this value."""
    if isinstance(value, dict):
        return True
    if isinstance(value, msgspec.Struct):
        return not value.__struct_config__.array_like
    cls = type(value)
    if callable(getattr(cls, "model_dump", None)):
        return not getattr(cls, "__pydantic_root_model__", False)
    return hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__")


def decode(decoder: msgspec.json.Decoder[T], data: Buffer) -> T:
    """Read one JSON text into the type of `decoder`.

    Raises:
        RemoteProtocolError: the text is not JSON by Jason's rules.
        InvalidMessageError: the JSON does not have that type.
    """
    try:
        decoded = decoder.decode(data)
    except UNREADABLE as error:
        raise refusal(error) from error
    if len(data) > MAX_INTEGER_CHARS:
        refuse_long_integers(data)
    return decoded


def refuse_long_integers(data: Buffer) -> None:
    """Check that no integer in this valid JSON is longer than Jason allows.

    The text is read a second time only if it has as many digits in a row, which may be in a string.

    Raises:
        RemoteProtocolError: an integer is longer.
    """
    if _TOO_MANY_DIGITS in data.translate(_DIGITS_ONLY):
        json.loads(data.decode(), parse_int=_checked_integer)


def _checked_integer(text: str) -> int:
    if len(text) > MAX_INTEGER_CHARS:
        raise RemoteProtocolError(
            f"not JSON: an integer of {len(text)} characters, at most {MAX_INTEGER_CHARS}"
        )
    return 0  # only its length matters


UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""The errors that a decoder raises."""


def refusal(error: Exception) -> RemoteProtocolError:
    """The error to raise for a decoder's error; InvalidMessageError for JSON of another type."""
    if isinstance(error, msgspec.ValidationError):
        return InvalidMessageError(f"not a Phoenix message: {error}")
    return RemoteProtocolError(f"not JSON: {error}")


def may_repeat_keys(data: Buffer, payload: JSON, topic: object) -> bool:
    """Whether an object in `data` may have duplicate keys; False is certain. Very cheap.

    Outside of strings, each key is followed by one colon. If the text has as many colons as the
    payload has keys and the topic has colons, no key was lost in decoding.
    """
    colons = data.count(b":")
    if type(payload) is dict:
        colons -= len(payload)
    if type(topic) is str:
        colons -= topic.count(":")
    return colons != 0 or _BACKSLASH in data


def decode_first_key_wins(data: Buffer) -> JSON:
    """Read JSON that is known to be valid; of equal keys it keeps the first.

    Raises:
        RemoteProtocolError: the JSON is nested too deep.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_first_wins)
    except RecursionError as error:
        raise RemoteProtocolError(f"not JSON: {error}") from error


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        result.setdefault(key, value)
    return result
