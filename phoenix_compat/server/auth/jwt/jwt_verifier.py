"""Checks JSON Web Tokens.

The settings name the algorithms and the keys; a token chooses neither. HS256 is only ever checked
with the secret, RS256 and ES256 only with public keys of their type, so a public key cannot serve
as a secret. Keys inside a token or at an address that it names (`jwk`, `jku`, `x5u`) are not used.

Tokens that were verified are remembered by their hash, because apps send the same one with every
request, and checking one takes a good part of the time of a handshake. What may have changed since
is checked each time: whether the token has expired, and whether its key is still known.

Sources: RFC 7519; RFC 8725, JSON Web Token Best Current Practices.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

import jwt
from jwt.algorithms import HMACAlgorithm
from jwt.utils import force_bytes

from phoenix_compat.background import BackgroundTask
from phoenix_compat.server.auth.errors import BadOwnerError, UnauthorizedError
from phoenix_compat.server.auth.jwt.jwt_keys import PublicKeySource
from phoenix_compat.server.auth.owner import checked_owner
from phoenix_compat.server.auth.principal import TASK_SCOPES, Principal

LEEWAY_S: Final = 60.0
"""How far the clocks of issuer and server may differ."""
HMAC: Final = "HS256"
SUBJECT: Final = "sub"

MAX_REMEMBERED: Final = 4_096
"""More verified tokens are forgotten, the oldest first: about 2 MB."""

_FORM: Final = re.compile(r"([\w-]+)\.[\w-]+\.[\w-]+", re.ASCII)
_MALFORMED: Final = "the token is malformed"
_TIMES: Final = ("exp", "nbf", "iat")
_LATEST_S: Final = 2.0**53
_OPTIONS: Final[Any] = {"require": ["exp"], "verify_sub": False, "verify_jti": False}


class _Verified(NamedTuple):
    """A token that was verified.

    Attributes:
        algorithm, kid, key: with which it was.
        expires_at_s: its `exp`, in seconds since 1970.
    """

    algorithm: str
    kid: str | None
    key: object
    owner: str
    expires_at_s: float


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


class _CheckedSecret(HMACAlgorithm):
    """HMAC with a secret that was checked once, at the start, and not for each token."""

    def prepare_key(self, key: str | bytes) -> bytes:
        """Return the secret; see `checked_secret`."""
        return force_bytes(key)


class _StrictJwt(jwt.PyJWT):
    """PyJWT for tokens whose JSON has one meaning only, and whose times are numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._jws.unregister_algorithm(HMAC)
        self._jws.register_algorithm(HMAC, _CheckedSecret(HMACAlgorithm.SHA256))

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Parse the claims. PyJWT calls it for genuine tokens, before it checks the claims."""
        try:
            claims = _json_object(decoded["payload"])
        except (ValueError, RecursionError) as error:
            raise UnauthorizedError(_MALFORMED) from error
        for name in _TIMES:
            value = claims.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UnauthorizedError(f'the token\'s claim "{name}" is not a number')
            if not 0 <= value <= _LATEST_S:
                raise UnauthorizedError(f'the token\'s claim "{name}" is out of range')
        return claims


def checked_secret(secret: bytes) -> bytes:
    """The secret, if it can be one.

    Raises:
        InvalidKeyError: it is a key that others know: a public key, a certificate or a key set.
    """
    return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)


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
        self._jwt = _StrictJwt()
        self._verified: dict[bytes, _Verified] = {}

    @property
    def background(self) -> tuple[BackgroundTask, ...]:
        """See Verifier."""
        return () if self._public_keys is None else self._public_keys.background

    async def verify(self, credential: str) -> Principal:
        """See Verifier."""
        digest = hashlib.sha256(credential.encode()).digest()
        verified = self._verified.get(digest)
        if verified is None or not await self._still_holds(verified):
            self._verified.pop(digest, None)
            verified = await self._verify(credential)
            if len(self._verified) >= MAX_REMEMBERED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = verified
        return Principal(
            owner=verified.owner,
            scopes=TASK_SCOPES,
            expires_at_s=self._closing_time_s(verified.expires_at_s),
        )

    async def _still_holds(self, verified: _Verified) -> bool:
        """Whether a token that was verified before would be again."""
        if self._now_s() >= verified.expires_at_s + LEEWAY_S:
            return False
        return await self._find(verified.algorithm, verified.kid) is verified.key

    async def _verify(self, credential: str) -> _Verified:
        header = _header_of(credential)
        algorithm, kid = self._choice(header)
        key: Any = await self._find(algorithm, kid)
        if key is None:
            raise UnauthorizedError("the token is signed with a key that is not known here")
        rules = self._rules
        try:
            claims = self._jwt.decode(
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
        return _Verified(algorithm, kid, key, self._owner(claims), float(claims["exp"]))

    def _choice(self, header: dict[str, Any]) -> tuple[str, str | None]:
        """The algorithm and the key id that a token names, if they may be used."""
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._rules.algorithms:
            raise UnauthorizedError("the token is signed with an algorithm that is not accepted")
        if "crit" in header or "b64" in header:
            raise UnauthorizedError("the token needs an extension that is not supported")
        if kid is not None and not isinstance(kid, str):
            raise UnauthorizedError("the token's key id is not a text")
        return algorithm, kid

    async def _find(self, algorithm: str, kid: str | None) -> object:
        if algorithm == HMAC:
            return self._rules.secret
        return None if self._public_keys is None else await self._public_keys.find(algorithm, kid)

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

    def _closing_time_s(self, expires_at_s: float) -> float:
        """When a socket must close: at `exp`, or later if the token was let in after it."""
        return expires_at_s if expires_at_s > self._now_s() else expires_at_s + LEEWAY_S


def _header_of(token: str) -> dict[str, Any]:
    """The header of a token, which chooses among the keys; nothing is verified yet."""
    found = _FORM.fullmatch(token)
    if found is None:
        raise UnauthorizedError("the credential is not an API key, a Phoenix.Token or a JWT")
    part = found[1]
    try:
        return _json_object(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError) as error:
        raise UnauthorizedError(_MALFORMED) from error


def _json_object(data: bytes) -> dict[str, Any]:
    """A JSON object without two equal names: another program may read the other value."""
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
