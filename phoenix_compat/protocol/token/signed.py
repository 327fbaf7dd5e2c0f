"""Signs and verifies tokens.

    signed = "SFMyNTY" "." base64url(term) "." base64url(HMAC(key, all before the last dot))

Source: plug_crypto c326c3c, lib/plug/crypto.ex, sign/4 and verify/4, and
lib/plug/crypto/message_verifier.ex.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from phoenix_compat.protocol.token.contents import (
    DEFAULT_MAX_AGE_S,
    InvalidTokenError,
    TokenContents,
    checked_text,
    decode_part,
    decode_term,
    encode_part,
    encode_term,
)
from phoenix_compat.protocol.token.keys import Digest

_HEADERS: Final[dict[Digest, str]] = {
    "sha256": "SFMyNTY",
    "sha384": "SFMzODQ",
    "sha512": "SFM1MTI",
}
"""HS256, HS384 and HS512 in base64."""

_DIGESTS: Final = {header: digest for digest, header in _HEADERS.items()}


def sign(
    data: Any,
    key: bytes,
    *,
    signed_at_ms: int,
    max_age_s: float = DEFAULT_MAX_AGE_S,
    digest: Digest = "sha256",
) -> str:
    """Make a token that everyone can read and nobody can change.

    Args:
        data: any value that can be an Erlang term; see `erlang_term`.
        key: from `derive_key`.
        signed_at_ms: the current time, in ms since 1970.
        max_age_s: how long the token is valid if the reader does not say; `math.inf` is for ever.
        digest: Phoenix writes sha256 and reads all three.

    Raises:
        EncodeError: the data cannot be an Erlang term.
    """
    unsigned = f"{_HEADERS[digest]}.{encode_part(encode_term(data, signed_at_ms, max_age_s))}"
    return f"{unsigned}.{encode_part(hmac.digest(key, unsigned.encode(), digest))}"


def verify(
    token: object,
    key: bytes,
    *,
    now_ms: int,
    max_age_s: float | None = None,
    is_raw: bool = False,
) -> Any:
    """Return the data of a signed token.

    Args:
        token: whatever the client sent; only a str can be a token, None is a missing token.
        key: from `derive_key`, with the signer's salt.
        now_ms: the current time, in ms since 1970.
        max_age_s: the maximum age; None uses the age in the token, `math.inf` accepts any age.
        is_raw: whether to leave binaries as bytes; see `erlang_term.decode`.

    Raises:
        MissingTokenError: the token is None.
        InvalidTokenError: the token was not made with this key, was changed, or was signed in the
            future.
        ExpiredTokenError: the token is too old. A `max_age_s` of zero or less accepts no token.
    """
    return read_signed(token, key, now_ms=now_ms, max_age_s=max_age_s, is_raw=is_raw).data


def read_signed(
    token: object,
    key: bytes,
    *,
    now_ms: int,
    max_age_s: float | None = None,
    is_raw: bool = False,
) -> TokenContents:
    """Return what a signed token holds. Arguments and errors are those of `verify`."""
    header, dot, rest = checked_text(token).partition(".")
    digest = _DIGESTS.get(header)
    payload, second_dot, signature = rest.partition(".")
    if digest is None or not dot or not second_dot:
        raise InvalidTokenError("not a signed token")
    term = decode_part(payload)
    expected = hmac.digest(key, f"{header}.{payload}".encode(), digest)
    if not hmac.compare_digest(expected, decode_part(signature)):
        raise InvalidTokenError("the token was not signed with this secret and salt")
    return decode_term(term, now_ms, max_age_s, is_raw=is_raw)
