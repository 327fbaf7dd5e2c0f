"""Derives the key for one purpose from the secret of an app.

    key = PBKDF2-HMAC(secret_key_base, salt), 32 bytes

Source: plug_crypto c326c3c, lib/plug/crypto/key_generator.ex.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from phoenix_compat.errors import ConfigError

Digest: TypeAlias = Literal["sha256", "sha384", "sha512"]

DEFAULT_ITERATIONS: Final = 1000
MIN_SECRET_BYTES: Final = 20
KEY_BYTES: Final = 32


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
