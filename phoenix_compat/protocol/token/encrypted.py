"""Encrypts and decrypts tokens.

    encrypted = "XCP" "." base64url(24-byte nonce + 16-byte tag + ciphertext of the term)

Source: plug_crypto c326c3c, lib/plug/crypto.ex, encrypt/4 and decrypt/4, and
lib/plug/crypto/message_encryptor.ex.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from phoenix_compat.errors import ConfigError, EncodeError
from phoenix_compat.extras import missing_extra
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
from phoenix_compat.protocol.token.keys import KEY_BYTES

NONCE_BYTES: Final = 24

_TAG_BYTES: Final = 16
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
    encrypted = cipher.encrypt(_cipher_key(key), nonce, encode_term(data, signed_at_ms, max_age_s))
    ciphertext, tag = encrypted[:-_TAG_BYTES], encrypted[-_TAG_BYTES:]
    return f"{_ENCRYPTED}.{encode_part(nonce + tag + ciphertext)}"


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
    header, _, rest = checked_text(token).partition(".")
    decrypt_term = _DECRYPT_BY_HEADER.get(header)
    if decrypt_term is None:
        raise InvalidTokenError("not an encrypted token")
    try:
        term = decrypt_term(cipher, rest, _cipher_key(key))
    except cipher.InvalidTag as error:
        raise InvalidTokenError("the token was not encrypted with this secret and salt") from error
    return decode_term(term, now_ms, max_age_s, is_raw=is_raw)


def _cipher() -> ModuleType:
    """The module that needs cryptography.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from phoenix_compat.protocol.token import cipher  # noqa: PLC0415 - the extra crypto
    except ImportError as error:
        raise missing_extra("crypto") from error
    return cipher


def _cipher_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ConfigError(f"encryption needs a key of {KEY_BYTES} bytes, not {len(key)}")
    return key


def _decrypt_term(cipher: ModuleType, text: str, key: bytes) -> bytes:
    data = decode_part(text)
    nonce, tag = data[:NONCE_BYTES], data[NONCE_BYTES : NONCE_BYTES + _TAG_BYTES]
    if len(tag) != _TAG_BYTES:
        raise InvalidTokenError("the encrypted token is too short")
    term: bytes = cipher.decrypt(key, nonce, data[NONCE_BYTES + _TAG_BYTES :] + tag)
    return term


def _decrypt_term_v1(cipher: ModuleType, text: str, key: bytes) -> bytes:
    parts = text.split(".", 4)
    if len(parts) != 4:
        raise InvalidTokenError("an encrypted token of plug_crypto 1.x must have five parts")
    wrapped_key, nonce, ciphertext, tag = (decode_part(part) for part in parts)
    # Every token has its own AES key, wrapped: a key of 16, 24 or 32 bytes, a tag of 16 and a
    # nonce of 12.
    if len(wrapped_key) not in (44, 52, 60) or len(nonce) != 12 or len(tag) != _TAG_BYTES:
        raise InvalidTokenError("a part of the token is too long or too short")
    term: bytes = cipher.decrypt_v1(key, wrapped_key, nonce, ciphertext + tag)
    return term


_DECRYPT_BY_HEADER: Final = {_ENCRYPTED: _decrypt_term, _ENCRYPTED_V1: _decrypt_term_v1}
