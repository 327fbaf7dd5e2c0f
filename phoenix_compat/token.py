"""Phoenix.Token with the clock, the randomness and the secrets at hand.

The algorithm is in `phoenix_compat.protocol.token`; here is only what it must be told.
"""

from __future__ import annotations

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
    """Tokens that a Phoenix app with the same secret_key_base reads, and the other way round.

    The salt of each call is a name for the use, `"user socket"` for example: a token made for one
    use is none for another.

    Args:
        secret_key_base: the Phoenix app's own, as the text it is; it signs and encrypts.
        retired: former ones, whose tokens are still accepted.
        key_iterations: as in Phoenix; both sides must agree.
        key_length: the same.
        key_digest: the same.
        now_ms: the wall clock, in ms since 1970.
        random_bytes: so many bytes that nobody can guess.

    Raises:
        ConfigError: a secret is shorter than 20 bytes, or the numbers make no key.
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
            salt: names the use.
            data: what to say: None, bool, int, float, str, bytes, list, tuple, dict, `Atom`.
            max_age_s: how long it is good when the reader does not say; `math.inf` is for ever.
            signed_at_s: when, in seconds since 1970; None is now.

        Raises:
            EncodeError: the data has no Erlang term.
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
        """Give back the data of a signed token.

        Args:
            salt: names the use, as when it was signed.
            token: whatever the client sent; None is a missing token.
            max_age_s: how old it may be; None is what the token itself says, `math.inf` does not
                ask.
            is_raw: whether to leave binaries as bytes and keys of maps as they are.

        Raises:
            MissingTokenError: it is None.
            InvalidTokenError: not by these secrets and this salt, or changed, or signed after now.
            ExpiredTokenError: too old.
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
        """Make a token that only holders of the secret can read. Arguments and errors: `sign`.

        It needs the extra `crypto`; the first call imports it, which takes some 20 ms.

        Raises:
            MissingExtraError: the extra is not installed.
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
        """Give back the data of an encrypted token. Arguments and errors: `verify`, `encrypt`."""
        return self._with_any_key(protocol.decrypt, salt, token, max_age_s=max_age_s, is_raw=is_raw)

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
        """What the first of the keys that fits reads; the error of the present one if none does."""
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
