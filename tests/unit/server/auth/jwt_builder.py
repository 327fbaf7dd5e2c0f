"""Makes JSON Web Tokens, good and bad ones, and keys for them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import jwt
import pytest
from _pytest.mark import ParameterSet
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from phoenix_compat.server.auth.jwt.jwt_verifier import JwtRules

SECRET: Final = b"a-secret-of-more-than-32-bytes-for-hs256"
AUDIENCE: Final = "tasks"
ISSUER: Final = "https://issuer.example/"
HMAC_RULES: Final = JwtRules(
    algorithms=("HS256",), secret=SECRET, audience=(AUDIENCE,), issuer=ISSUER
)

Key = RSAPrivateKey | EllipticCurvePrivateKey


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> RSAPrivateKey:
    """An RSA key; the same for the same number."""
    del number
    return generate_rsa(65537, bits)


@cache
def ec_key(number: int = 0, *, is_p256: bool = True) -> EllipticCurvePrivateKey:
    """A key on P-256, or on P-384."""
    del number
    return generate_private_key(SECP256R1() if is_p256 else SECP384R1())


def pem(key: Key) -> bytes:
    """The public half as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Key, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public half as an entry of a key set."""
    if isinstance(key, RSAPrivateKey):
        entry = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        entry = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**entry, **({} if kid is None else {"kid": kid}), **more}


def key_set(*entries: dict[str, Any]) -> bytes:
    """The text of a key set."""
    return json.dumps({"keys": entries}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims with changes; those that are None are left out."""
    now_s = int(time.time())
    found = {"sub": "user-17", "aud": AUDIENCE, "iss": ISSUER, "exp": now_s + 600, **changes}
    return {name: value for name, value in found.items() if value is not None}


def token(
    key: Key | bytes = SECRET,
    algorithm: str = "HS256",
    headers: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A signed token, with good claims unless they are changed."""
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def b64(data: bytes | str) -> str:
    """Base64url without padding."""
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hand_signed(header: str, payload: str, secret: bytes = SECRET) -> str:
    """A token of any texts, correctly signed with HMAC."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def numbered(cases: Iterable[Any]) -> list[ParameterSet]:
    """Cases with their numbers as names: tokens differ from run to run, names must not."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), id=str(number))
        for number, case in enumerate(cases)
    ]
