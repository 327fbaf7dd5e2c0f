"""JSON Web Tokens that were verified before."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from phoenix_compat.server.auth.errors import UnauthorizedError
from phoenix_compat.server.auth.jwt import jwt_verifier
from phoenix_compat.server.auth.jwt.jwt_keys import KeySet, key_set_of
from phoenix_compat.server.auth.jwt.jwt_verifier import LEEWAY_S, JwtVerifier
from tests.unit.server.auth.jwt_builder import HMAC_RULES, ec_key, jwk, key_set, rsa_key, token
from tests.unit.server.auth.jwt_harness import KEYS, NOW_S, PUBLIC_RULES, refusal, standing_time

__all__ = ["standing_time"]


async def test_a_remembered_token_expires_all_the_same() -> None:
    """To the second, with the leeway of the first check."""
    now_s = float(NOW_S)
    verifier = JwtVerifier(HMAC_RULES, now_s=lambda: now_s)
    credential = token(exp=NOW_S + 30)
    first = await verifier.verify(credential)

    now_s = NOW_S + 30 + LEEWAY_S - 1
    late = await verifier.verify(credential)
    now_s = NOW_S + 30 + LEEWAY_S
    verifier._jwt = _RefusingJwt()
    with pytest.raises(UnauthorizedError):
        await verifier.verify(credential)

    assert (first.owner, first.expires_at_s) == ("user-17", NOW_S + 30)
    assert (late.owner, late.expires_at_s) == ("user-17", NOW_S + 30 + LEEWAY_S)


async def test_a_remembered_token_needs_its_key() -> None:
    """When the issuer withdraws a key, or puts another one under its id, the token is refused."""
    keys = MutableKeys(KEYS)
    verifier = JwtVerifier(PUBLIC_RULES, keys)
    credential = token(rsa_key(), "RS256", {"kid": "r1"})

    for changed in (jwk(ec_key(), "e1"), jwk(rsa_key(1), "r1")):
        keys.current = KEYS
        assert (await verifier.verify(credential)).owner == "user-17"
        keys.current = key_set_of(key_set(changed))
        assert await refusal(verifier, credential)


async def test_only_good_tokens_are_remembered_and_only_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The oldest is forgotten first; a token that is nearly the same is checked."""
    monkeypatch.setattr(jwt_verifier, "MAX_REMEMBERED", 3)
    verifier = JwtVerifier(HMAC_RULES)
    good = [token(sub=f"user-{number}") for number in range(5)]

    owners = [(await verifier.verify(credential)).owner for credential in [*good, *good]]
    await refusal(verifier, good[0][:-2] + ("AA" if good[0][-2:] != "AA" else "BA"))

    assert owners == [f"user-{number}" for number in range(5)] * 2
    assert len(verifier._verified) == 3


class _RefusingJwt(jwt_verifier._StrictJwt):
    """Checks by a clock that is far ahead."""

    def decode(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Refuse every token as expired."""
        del args, options
        raise jwt.ExpiredSignatureError


class MutableKeys:
    """A source whose keys a test changes."""

    background = ()

    def __init__(self, current: KeySet) -> None:
        self.current = current

    async def find(self, algorithm: str, kid: str | None) -> Any:
        """See PublicKeySource."""
        return self.current.get(algorithm, kid)
