"""Checks Phoenix.Token, as the Elixir backend makes them that this server replaces.

Apps that were logged in there stay logged in here, until their tokens are too old.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from phoenix_compat.background import BackgroundTask
from phoenix_compat.protocol.token import (
    ExpiredTokenError,
    TokenContents,
    TokenError,
    derive_key,
    read_encrypted,
    read_signed,
)
from phoenix_compat.server.auth.errors import BadOwnerError, UnauthorizedError
from phoenix_compat.server.auth.owner import checked_owner
from phoenix_compat.server.auth.principal import TASK_SCOPES, Principal

_SIGNED: Final = "SF"
"""How the signed ones begin: HS256, HS384 and HS512 in base64."""


class PhoenixTokenVerifier:
    """Checks the tokens of one backend and purpose.

    Args:
        secret_key_base: the backend's.
        salt: the purpose, as in `Phoenix.Token.sign(socket, salt, data)`.
        max_age_s: how old tokens may be, as in `Phoenix.Token.verify`.
        owner_field: the field of the data that names the owner, if the data is a map.
        now_s: returns the time in seconds since 1970.

    Raises:
        ConfigError: the secret is too short.
    """

    background: tuple[BackgroundTask, ...] = ()

    def __init__(
        self,
        *,
        secret_key_base: bytes,
        salt: str,
        max_age_s: float,
        owner_field: str | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._key = derive_key(secret_key_base, salt)
        self._max_age_s = max_age_s
        self._owner_field = owner_field
        self._now_s = now_s

    async def verify(self, credential: str) -> Principal:
        """See Verifier."""
        try:
            contents = self._read(credential)
        except ExpiredTokenError as error:
            raise UnauthorizedError("the token has expired") from error
        except TokenError as error:
            raise UnauthorizedError("the token was not made with this secret and salt") from error
        expires_at_ms = contents.expires_at_ms
        return Principal(
            owner=self._owner(contents.data),
            scopes=TASK_SCOPES,
            expires_at_s=None if expires_at_ms is None else expires_at_ms / 1000,
        )

    def _read(self, token: str) -> TokenContents:
        read = read_signed if token.startswith(_SIGNED) else read_encrypted
        now_ms = int(self._now_s() * 1000)
        return read(token, self._key, now_ms=now_ms, max_age_s=self._max_age_s)

    def _owner(self, data: Any) -> str:
        if isinstance(data, dict):
            if self._owner_field is None:
                raise UnauthorizedError(
                    "the token's data is a map; phoenix_token_owner_field must name its owner"
                )
            data = data.get(self._owner_field)
        try:
            return checked_owner(data)
        except BadOwnerError as error:
            raise UnauthorizedError(f"the token's data {error}") from error
