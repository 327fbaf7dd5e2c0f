"""What the tests of JSON Web Tokens share: rules, keys, and a clock that stands still."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Self

import pytest

from phoenix_compat.server.auth.errors import UnauthorizedError
from phoenix_compat.server.auth.jwt.jwt_keys import key_set_of
from phoenix_compat.server.auth.jwt.jwt_verifier import JwtVerifier
from tests.unit.server.auth.jwt_builder import HMAC_RULES, ec_key, jwk, key_set, rsa_key

PUBLIC_RULES = replace(HMAC_RULES, algorithms=("RS256", "ES256"), secret=None)
KEYS = key_set_of(key_set(jwk(rsa_key(), "r1"), jwk(ec_key(), "e1")))
NOW_S = int(time.time())


class StandingTime(datetime):
    """The library's clock: still at NOW_S, because the tests may run long after this was read."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """See datetime."""
        return cls.fromtimestamp(NOW_S, tz)


@pytest.fixture(autouse=True)
def standing_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """D10: no token of these tests expires because the machine is busy."""
    monkeypatch.setattr("jwt.api_jwt.datetime", StandingTime)


async def refusal(verifier: JwtVerifier, credential: str) -> str:
    """The reason for which a token is refused."""
    with pytest.raises(UnauthorizedError) as refused:
        await verifier.verify(credential)
    return str(refused.value)
