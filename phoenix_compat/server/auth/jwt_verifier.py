"""Checks JSON Web Tokens.

The settings name the algorithms and the keys; a token chooses neither. HS256 is only ever checked
with the secret, RS256 and ES256 only with public keys of their type, so a public key cannot serve
as a secret. Keys inside a token or at an address that it names (`jwk`, `jku`, `x5u`) are not used.

Sources: RFC 7519; RFC 8725, JSON Web Token Best Current Practices.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import jwt

from phoenix_compat.background import BackgroundTask
from phoenix_compat.server.auth.errors import BadOwnerError, UnauthorizedError
from phoenix_compat.server.auth.jwt_keys import PublicKeySource
from phoenix_compat.server.auth.owner import checked_owner
from phoenix_compat.server.auth.principal import TASK_SCOPES, Principal

LEEWAY_S: Final = 60.0
"""How far the clocks of issuer and server may differ."""
HMAC: Final = "HS256"
SUBJECT: Final = "sub"

_FORM: Final = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]+", re.ASCII)
_TIMES: Final = ("exp", "nbf", "iat")
_LATEST_S: Final = 2.0**53
_OPTIONS: Final[Any] = {"require": ["exp"], "verify_sub": False, "verify_jti": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtRules:
    """What a token must be like.

    Attributes:
        algorithms: the accepted ones, out of HS256, RS256 and ES256.
        secret: the key for HS256.
        audience: it must be for one of them; empty accepts any.
        issuer: who must have made it; None accepts any.
        owner_claim: the claim that names the owner.
    """

    algorithms: tuple[str, ...]
    secret: bytes | None = None
    audience: tuple[str, ...] = ()
    issuer: str | None = None
    owner_claim: str = SUBJECT


class JwtVerifier:
    """Checks the tokens of one issuer.

    Args:
        public_keys: for RS256 and ES256.
        now_s: returns the time in seconds since 1970.
    """

    def __init__(
        self,
        rules: JwtRules,
        public_keys: PublicKeySource | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._public_keys = public_keys
        self._now_s = now_s
        self._options = {**_OPTIONS, "verify_aud": bool(rules.audience)}

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """See Verifier."""
        return () if self._public_keys is None else self._public_keys.background

    async def verify(self, credential: str) -> Principal:
        """See Verifier."""
        header, claims = _parsed(credential)
        key = await self._key(header)
        rules = self._rules
        try:
            # It repeats the parsing, strictly about base64 and leniently about JSON.
            jwt.decode(
                credential,
                key,
                algorithms=rules.algorithms,
                audience=rules.audience or None,
                issuer=rules.issuer,
                leeway=LEEWAY_S,
                options=self._options,  # type: ignore[arg-type] # a TypedDict of these options
            )
        except jwt.PyJWTError as error:
            raise UnauthorizedError(_reason(error)) from error
        return Principal(
            owner=self._owner(claims), scopes=TASK_SCOPES, expires_at_s=self._expiry_s(claims)
        )

    async def _key(self, header: dict[str, Any]) -> Any:
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._rules.algorithms:
            raise UnauthorizedError("the token is signed with an algorithm that is not accepted")
        if "crit" in header or "b64" in header:
            raise UnauthorizedError("the token needs an extension that is not supported")
        if kid is not None and not isinstance(kid, str):
            raise UnauthorizedError("the token's key id is not a text")
        key: object = self._rules.secret
        if algorithm != HMAC:
            key = (
                None if self._public_keys is None else await self._public_keys.find(algorithm, kid)
            )
        if key is None:
            raise UnauthorizedError("the token is signed with a key that is not known here")
        return key

    def _owner(self, claims: dict[str, Any]) -> str:
        name = self._rules.owner_claim
        value = claims.get(name)
        if value is None:
            raise UnauthorizedError(f'the token has no claim "{name}"')
        if name == SUBJECT and not isinstance(value, str):  # RFC 7519, section 4.1.2
            raise UnauthorizedError(f'the token\'s claim "{name}" is not a string')
        try:
            return checked_owner(value)
        except BadOwnerError as error:
            raise UnauthorizedError(f'the token\'s claim "{name}" {error}') from error

    def _expiry_s(self, claims: dict[str, Any]) -> float:
        """When a socket must close: at `exp`, or later if the token was let in after it."""
        expiry_s = float(claims["exp"])
        return expiry_s if expiry_s > self._now_s() else expiry_s + LEEWAY_S


def _parsed(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token that is not verified yet.

    JSON with two equal names is refused: another program may read the other value.
    """
    found = _FORM.fullmatch(token)
    if found is None:
        raise UnauthorizedError("the credential is not an API key, a Phoenix.Token or a JWT")
    try:
        header, claims = (_json_object(part) for part in found.groups())
    except (ValueError, RecursionError) as error:
        raise UnauthorizedError("the token is malformed") from error
    for name in _TIMES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnauthorizedError(f'the token\'s claim "{name}" is not a number')
        if not 0 <= value <= _LATEST_S:
            raise UnauthorizedError(f'the token\'s claim "{name}" is out of range')
    return header, claims


def _json_object(part: str) -> dict[str, Any]:
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    value: object = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
    if isinstance(value, dict):
        return value
    raise ValueError("not an object")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("two equal names")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "the token has expired"
        case jwt.ImmatureSignatureError():
            return "the token is not valid yet; do the clocks agree?"
        case jwt.MissingRequiredClaimError():
            return f'the token has no claim "{error.claim}"'
        case jwt.InvalidAudienceError():
            return 'the token is for another audience (claim "aud")'
        case jwt.InvalidIssuerError():
            return 'the token has another issuer (claim "iss")'
        case _:
            return "the token's signature is not valid"
