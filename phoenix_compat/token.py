"""Phoenix.Token with a clock, a random source and secrets.

The algorithm itself is in `phoenix_compat.protocol.token`.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any

from phoenix_compat.protocol import token as protocol
from phoenix_compat.protocol.token import (
    DEFAULT_ITERATIONS,
    DEFAULT_MAX_AGE_S,
    KEY_BYTES,
    NONCE_BYTES,
    Digest,
    InvalidTokenError,
)


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Tokens:
    """Makes and reads tokens that are compatible with a Phoenix app with the same secret_key_base.

    The salt of each call names a purpose, for example `"user socket"`: a token made for one purpose
    is invalid for another.

    Args:
        secret_key_base: the same text as in the Phoenix app; it signs and encrypts.
        retired: former secrets, whose tokens are still accepted.
        key_iterations: as in Phoenix; both sides must agree.
        key_length: the same.
        key_digest: the same.
        now_ms: returns the wall clock time, in ms since 1970.
        random_bytes: returns the given number of cryptographically random bytes.

    Raises:
        ConfigError: a secret is shorter than 20 bytes, or the key options are invalid.
    """

    def __init__(  # noqa: PLR0913 - Phoenix's options, by name
        self,
        secret_key_base: str | bytes,
        *retired: str | bytes,
        key_iterations: int = DEFAULT_ITERATIONS,
        key_length: int = KEY_BYTES,
        key_digest: Digest = "sha256",
        now_ms: Callable[[], int] = _wall_clock_ms,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._secrets = (secret_key_base, *retired)
        self._key_iterations = key_iterations
        self._key_length = key_length
        self._key_digest = key_digest
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._keys("")

    def sign(
        self,
        salt: str | bytes,
        data: Any,
        *,
        max_age_s: float = DEFAULT_MAX_AGE_S,
        signed_at_s: float | None = None,
    ) -> str:
        """Make a token that everyone can read and nobody can change.

        Args:
            salt: names the purpose.
            data: the content: None, bool, int, float, str, bytes, list, tuple, dict or `Atom`.
            max_age_s: how long the token is valid if the reader does not say; `math.inf` is for
                ever.
            signed_at_s: the time of signing, in seconds since 1970; None is now.

        Raises:
            EncodeError: the data cannot be encoded as an Erlang term.
        """
        return protocol.sign(
            data,
            self._keys(salt)[0],
            signed_at_ms=self._signed_at_ms(signed_at_s),
            max_age_s=max_age_s,
        )

    def verify(
        self,
        salt: str | bytes,
        token: object,
        *,
        max_age_s: float | None = None,
        is_raw: bool = False,
    ) -> Any:
        """Return the data of a signed token.

        Args:
            salt: names the purpose; the same as in `sign`.
            token: whatever the client sent; None is a missing token.
            max_age_s: the maximum age; None uses the age in the token, `math.inf` accepts any age.
            is_raw: whether to leave binaries as bytes and keys of maps unchanged.

        Raises:
            MissingTokenError: the token is None.
            InvalidTokenError: the token was not made with these secrets and this salt, was changed,
                or was signed in the future.
            ExpiredTokenError: the token is too old.
        """
        return self._with_any_key(protocol.verify, salt, token, max_age_s=max_age_s, is_raw=is_raw)

    def encrypt(
        self,
        salt: str | bytes,
        data: Any,
        *,
        max_age_s: float = DEFAULT_MAX_AGE_S,
        signed_at_s: float | None = None,
    ) -> str:
        """Make a token that only holders of the secret can read.

        For arguments and errors see `sign`. The first call imports cryptography, which takes some
        20 ms.

        Raises:
            MissingExtraError: the extra `crypto` is not installed.
        """
        return protocol.encrypt(
            data,
            self._keys(salt)[0],
            signed_at_ms=self._signed_at_ms(signed_at_s),
            nonce=self._random_bytes(NONCE_BYTES),
            max_age_s=max_age_s,
        )

    def decrypt(
        self,
        salt: str | bytes,
        token: object,
        *,
        max_age_s: float | None = None,
        is_raw: bool = False,
    ) -> Any:
        """Return the data of an encrypted token. Arguments and errors: see `verify`, `encrypt`."""
        return self._with_any_key(protocol.decrypt, salt, token, max_age_s=max_age_s, is_raw=is_raw)

    def fingerprint(self, salt: str | bytes) -> str:
        """16 characters that all holders of the secret have, and that do not tell it."""
        return hashlib.sha256(self._keys(salt)[0]).hexdigest()[:16]

    def _keys(self, salt: str | bytes) -> list[bytes]:
        return [
            protocol.derive_key(
                secret,
                salt,
                iterations=self._key_iterations,
                length_bytes=self._key_length,
                digest=self._key_digest,
            )
            for secret in self._secrets
        ]

    def _with_any_key(
        self, read: Callable[..., Any], salt: str | bytes, token: object, **options: Any
    ) -> Any:
        """Try the keys in order. If none fits, raise the error of the current key."""
        first, *others = self._keys(salt)
        now_ms = self._now_ms()
        try:
            return read(token, first, now_ms=now_ms, **options)
        except InvalidTokenError:
            for key in others:
                try:
                    return read(token, key, now_ms=now_ms, **options)
                except InvalidTokenError:
                    continue
            raise

    def _signed_at_ms(self, signed_at_s: float | None) -> int:
        return self._now_ms() if signed_at_s is None else int(signed_at_s * 1000)
