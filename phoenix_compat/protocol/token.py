"""Signs, verifies, encrypts and decrypts tokens that are compatible with Phoenix.Token.

    key       = PBKDF2-HMAC(secret_key_base, salt), 32 bytes
    term      = {data, signed_at in ms, max_age in s or :infinity}
    signed    = "SFMyNTY" "." base64url(term) "." base64url(HMAC(key, all before the last dot))
    encrypted = "XCP" "." base64url(24-byte nonce + 16-byte tag + ciphertext of the term)

The cipher is XChaCha20-Poly1305. A term is read only after its signature was verified, in constant
time. The clock, the nonce and the key are arguments; `phoenix_compat.token.Tokens` provides them.

Differs from Phoenix: only the base64 form that Phoenix writes is accepted. Elixir also accepts
padding and stray bits at the end, so that one token has several texts. A token whose term has the
wrong shape is an invalid token here; Phoenix raises.

Source: plug_crypto c326c3c, lib/plug/crypto.ex, sign/4, verify/4, encrypt/4, decrypt/4, and
lib/plug/crypto/message_verifier.ex, message_encryptor.ex, key_generator.ex.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from phoenix_compat.errors import ConfigError, EncodeError, ProtocolError
from phoenix_compat.extras import missing_extra
from phoenix_compat.protocol.erlang_term import (
    MAX_BYTES,
    Atom,
    TermError,
    decode,
    encode,
    normalise,
)

Digest: TypeAlias = Literal["sha256", "sha384", "sha512"]

DEFAULT_MAX_AGE_S: Final = 86_400
DEFAULT_ITERATIONS: Final = 1000
MIN_SECRET_BYTES: Final = 20
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
MAX_TOKEN_CHARS: Final = MAX_BYTES * 4 // 3 + 512
"""Longer than every token that can be made here. A longer text is refused before any work."""

_INFINITY: Final = Atom("infinity")
_TAG_BYTES: Final = 16


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


# Keys


def secret_bytes(secret_key_base: str | bytes) -> bytes:
    """The secret as key material: the bytes of its text, never decoded from base64.

    Raises:
        ConfigError: the secret is shorter than 20 bytes.
    """
    secret = secret_key_base.encode() if isinstance(secret_key_base, str) else secret_key_base
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"secret_key_base has {len(secret)} bytes and needs at least {MIN_SECRET_BYTES}; "
            "use the one of your Phoenix app, or create one with "
            "python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    return secret


def derive_key(
    secret_key_base: str | bytes,
    salt: str | bytes,
    *,
    iterations: int = DEFAULT_ITERATIONS,
    length_bytes: int = KEY_BYTES,
    digest: Digest = "sha256",
) -> bytes:
    """The key for one purpose, which the salt names. Keys are cached.

    Raises:
        ConfigError: the secret is too short, or the key options are invalid.
    """
    salt = salt.encode() if isinstance(salt, str) else salt
    try:
        return _pbkdf2(secret_bytes(secret_key_base), salt, iterations, length_bytes, digest)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"cannot derive a key with iterations={iterations}, length={length_bytes}, "
            f"digest={digest!r}: {error}"
        ) from error


@lru_cache(maxsize=256)
def _pbkdf2(secret: bytes, salt: bytes, iterations: int, length: int, digest: Digest) -> bytes:
    return hashlib.pbkdf2_hmac(digest, secret, salt, iterations, length)


# Signed tokens

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
    unsigned = f"{_HEADERS[digest]}.{_base64(_encode(data, signed_at_ms, max_age_s))}"
    return f"{unsigned}.{_base64(hmac.digest(key, unsigned.encode(), digest))}"


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
    header, dot, rest = _text(token).partition(".")
    digest = _DIGESTS.get(header)
    payload, second_dot, signature = rest.partition(".")
    if digest is None or not dot or not second_dot:
        raise InvalidTokenError("not a signed token")
    term = _from_base64(payload)
    expected = hmac.digest(key, f"{header}.{payload}".encode(), digest)
    if not hmac.compare_digest(expected, _from_base64(signature)):
        raise InvalidTokenError("the token was not signed with this secret and salt")
    return _decode(term, now_ms, max_age_s, is_raw=is_raw)


# Encrypted tokens

_ENCRYPTED: Final = "XCP"
_ENCRYPTED_V1: Final = "QTEyOEdDTQ"
"""A128GCM in base64: the header of plug_crypto 1.x."""


def encrypt(
    data: Any,
    key: bytes,
    *,
    signed_at_ms: int,
    nonce: bytes,
    max_age_s: float = DEFAULT_MAX_AGE_S,
) -> str:
    """Make a token that only holders of the key can read.

    Args:
        data: any value that can be an Erlang term; see `erlang_term`.
        key: from `derive_key`, 32 bytes.
        signed_at_ms: the current time, in ms since 1970.
        nonce: 24 random bytes that were never used before.
        max_age_s: how long the token is valid if the reader does not say; `math.inf` is for ever.

    Raises:
        EncodeError: the data cannot be an Erlang term, or the nonce does not have 24 bytes.
        ConfigError: the key does not have 32 bytes.
        MissingExtraError: cryptography is not installed.
    """
    if len(nonce) != NONCE_BYTES:
        raise EncodeError(f"the nonce must have {NONCE_BYTES} bytes, not {len(nonce)}")
    cipher = _cipher()
    encrypted = cipher.encrypt(_cipher_key(key), nonce, _encode(data, signed_at_ms, max_age_s))
    ciphertext, tag = encrypted[:-_TAG_BYTES], encrypted[-_TAG_BYTES:]
    return f"{_ENCRYPTED}.{_base64(nonce + tag + ciphertext)}"


def decrypt(
    token: object,
    key: bytes,
    *,
    now_ms: int,
    max_age_s: float | None = None,
    is_raw: bool = False,
) -> Any:
    """Return the data of an encrypted token, including those of plug_crypto 1.x.

    The arguments are those of `verify`.

    Raises:
        MissingTokenError: the token is None.
        InvalidTokenError: the token was not made with this key, was changed, or was encrypted in
            the future.
        ExpiredTokenError: the token is too old. A `max_age_s` of zero or less accepts no token.
        ConfigError: the key does not have 32 bytes.
        MissingExtraError: cryptography is not installed.
    """
    return read_encrypted(token, key, now_ms=now_ms, max_age_s=max_age_s, is_raw=is_raw).data


def read_encrypted(
    token: object,
    key: bytes,
    *,
    now_ms: int,
    max_age_s: float | None = None,
    is_raw: bool = False,
) -> TokenContents:
    """Return what an encrypted token holds. Arguments and errors are those of `decrypt`."""
    cipher = _cipher()
    header, _, rest = _text(token).partition(".")
    decrypt_term = _DECRYPT_BY_HEADER.get(header)
    if decrypt_term is None:
        raise InvalidTokenError("not an encrypted token")
    try:
        term = decrypt_term(cipher, rest, _cipher_key(key))
    except cipher.InvalidTag as error:
        raise InvalidTokenError("the token was not encrypted with this secret and salt") from error
    return _decode(term, now_ms, max_age_s, is_raw=is_raw)


def _cipher() -> ModuleType:
    """The module that needs cryptography.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from phoenix_compat.protocol import token_cipher  # noqa: PLC0415 - the extra crypto
    except ImportError as error:
        raise missing_extra("crypto") from error
    return token_cipher


def _cipher_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ConfigError(f"encryption needs a key of {KEY_BYTES} bytes, not {len(key)}")
    return key


def _decrypt_term(cipher: ModuleType, text: str, key: bytes) -> bytes:
    data = _from_base64(text)
    nonce, tag = data[:NONCE_BYTES], data[NONCE_BYTES : NONCE_BYTES + _TAG_BYTES]
    if len(tag) != _TAG_BYTES:
        raise InvalidTokenError("the encrypted token is too short")
    term: bytes = cipher.decrypt(key, nonce, data[NONCE_BYTES + _TAG_BYTES :] + tag)
    return term


def _decrypt_term_v1(cipher: ModuleType, text: str, key: bytes) -> bytes:
    parts = text.split(".", 4)
    if len(parts) != 4:
        raise InvalidTokenError("an encrypted token of plug_crypto 1.x must have five parts")
    wrapped_key, nonce, ciphertext, tag = (_from_base64(part) for part in parts)
    # Every token has its own AES key, wrapped: a key of 16, 24 or 32 bytes, a tag of 16 and a
    # nonce of 12.
    if len(wrapped_key) not in (44, 52, 60) or len(nonce) != 12 or len(tag) != _TAG_BYTES:
        raise InvalidTokenError("a part of the token is too long or too short")
    term: bytes = cipher.decrypt_v1(key, wrapped_key, nonce, ciphertext + tag)
    return term


_DECRYPT_BY_HEADER: Final = {_ENCRYPTED: _decrypt_term, _ENCRYPTED_V1: _decrypt_term_v1}


# Contents


def _encode(data: Any, signed_at_ms: int, max_age_s: float) -> bytes:
    return encode((data, signed_at_ms, _INFINITY if max_age_s == math.inf else max_age_s))


def _decode(term: bytes, now_ms: int, max_age_s: float | None, *, is_raw: bool) -> TokenContents:
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


def _text(token: object) -> str:
    if token is None:
        raise MissingTokenError("there is no token")
    if not isinstance(token, str):
        raise InvalidTokenError("a token must be a str")
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidTokenError(
            f"a token of {len(token)} characters; the limit is {MAX_TOKEN_CHARS}"
        )
    return token


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise InvalidTokenError("a part of the token is not base64") from error
    if _base64(data) != text:
        raise InvalidTokenError("a part of the token is not canonical base64")
    return data
