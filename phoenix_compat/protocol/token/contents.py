"""What a token holds: the term, its parts, its age, and the errors of a token that is not accepted.

    term = {data, signed_at in ms, max_age in s or :infinity}

Source: plug_crypto c326c3c, lib/plug/crypto.ex, encode/2 and decode/3.
"""

from __future__ import annotations

import base64
import math
from typing import Any, Final, NamedTuple

from phoenix_compat.errors import ProtocolError
from phoenix_compat.protocol.erlang_term import (
    MAX_BYTES,
    Atom,
    TermError,
    decode,
    encode,
    normalise,
)

DEFAULT_MAX_AGE_S: Final = 86_400
MAX_TOKEN_CHARS: Final = MAX_BYTES * 4 // 3 + 512
"""Longer than every token that can be made here. A longer text is refused before any work."""

_INFINITY: Final = Atom("infinity")


class TokenError(ProtocolError):
    """A token is not accepted."""


class InvalidTokenError(TokenError):
    """The token was not made with this secret and salt, was changed, or is from the future."""


class ExpiredTokenError(TokenError):
    """The token is genuine, but too old."""


class MissingTokenError(TokenError):
    """There is no token."""


class TokenContents(NamedTuple):
    """What a genuine token holds.

    Attributes:
        expires_at_ms: when it becomes too old, in ms since 1970; None for never.
    """

    data: Any
    expires_at_ms: float | None


def encode_term(data: Any, signed_at_ms: int, max_age_s: float) -> bytes:
    """The term of a token. Raises EncodeError if the data cannot be one."""
    return encode((data, signed_at_ms, _INFINITY if max_age_s == math.inf else max_age_s))


def decode_term(
    term: bytes, now_ms: int, max_age_s: float | None, *, is_raw: bool
) -> TokenContents:
    """What a term says, if its age allows it; arguments and errors are those of `verify`."""
    try:
        data, signed_at_ms, own_max_age_s = _parts(decode(term, is_raw=True))
        data = data if is_raw else normalise(data)
    except TermError as error:
        raise InvalidTokenError(f"the data of the token is not supported: {error}") from error
    age_s = own_max_age_s if max_age_s is None else max_age_s
    return TokenContents(data, _checked_expiry(signed_at_ms, age_s, now_ms))


def _parts(term: Any) -> tuple[Any, Any, Any]:
    """Data, time of signing and maximum age, in the current and in older formats."""
    match term:
        case tuple((data, signed_at_ms, max_age_s)):
            return data, signed_at_ms, max_age_s
        case tuple((data, signed_at_ms)):  # plug_crypto 1.1
            return data, signed_at_ms, DEFAULT_MAX_AGE_S
        case {"data": data, "signed": signed_at_ms}:  # Phoenix 1.4 and before
            return data, signed_at_ms, DEFAULT_MAX_AGE_S
        case _:
            raise TermError("the term does not have the parts of a token")


def _checked_expiry(signed_at_ms: Any, max_age_s: Any, now_ms: int) -> float | None:
    """When the token becomes too old, in ms since 1970. Raises if it has, or cannot be told."""
    if not _is_number(signed_at_ms, int):
        raise InvalidTokenError("the token does not say when it was signed")
    if max_age_s in (_INFINITY, math.inf):
        return None
    if not _is_number(max_age_s, (int, float)):
        raise InvalidTokenError("the token has no valid maximum age")
    if not max_age_s > 0:
        raise ExpiredTokenError("the maximum age is not positive, so no token is accepted")
    if signed_at_ms > now_ms:
        raise InvalidTokenError("the token was signed in the future; do the clocks agree?")
    if now_ms - signed_at_ms > max_age_s * 1000:
        raise ExpiredTokenError("the token is too old")
    expires_at_ms: float = signed_at_ms + max_age_s * 1000
    return expires_at_ms


def _is_number(value: Any, number_type: type | tuple[type, ...]) -> bool:
    return isinstance(value, number_type) and not isinstance(value, bool)


def checked_text(token: object) -> str:
    """The text of what a client sent as its token. Raises TokenError if it cannot be one."""
    if token is None:
        raise MissingTokenError("there is no token")
    if not isinstance(token, str):
        raise InvalidTokenError("a token must be a str")
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidTokenError(
            f"a token of {len(token)} characters; the limit is {MAX_TOKEN_CHARS}"
        )
    return token


def encode_part(data: bytes) -> str:
    """One of the parts between the dots: base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_part(text: str) -> bytes:
    """Undo `encode_part`. Raises InvalidTokenError for any text that it does not write."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise InvalidTokenError("a part of the token is not base64") from error
    if encode_part(data) != text:
        raise InvalidTokenError("a part of the token is not canonical base64")
    return data
