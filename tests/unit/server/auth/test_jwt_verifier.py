"""JSON Web Tokens: the good ones, and the attacks of RFC 8725."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest

from phoenix_compat.server.auth.credential import MAX_CREDENTIAL_BYTES
from phoenix_compat.server.auth.jwt.jwt_keys import (
    KeySet,
    KnownKey,
    SingleKey,
    key_of_pem,
    key_set_of,
)
from phoenix_compat.server.auth.jwt.jwt_verifier import (
    LEEWAY_S,
    JwtRules,
    JwtVerifier,
    checked_secret,
)
from phoenix_compat.server.auth.principal import TASK_SCOPES
from tests.unit.server.auth.jwt_builder import (
    AUDIENCE,
    HMAC_RULES,
    SECRET,
    b64,
    claims,
    ec_key,
    hand_signed,
    jwk,
    key_set,
    numbered,
    pem,
    rsa_key,
    token,
)
from tests.unit.server.auth.jwt_harness import KEYS, NOW_S, PUBLIC_RULES, refusal, standing_time

__all__ = ["standing_time"]

HMAC = JwtVerifier(HMAC_RULES)
PUBLIC = JwtVerifier(PUBLIC_RULES, KEYS)
ALL = JwtVerifier(replace(HMAC_RULES, algorithms=("HS256", "RS256", "ES256")), KEYS)
HEADER = '{"alg":"HS256","typ":"JWT"}'


@pytest.mark.parametrize(
    ("verifier", "credential"),
    numbered(
        [
            (HMAC, token()),
            (HMAC, token(aud=["other", AUDIENCE])),
            (HMAC, token(headers={"kid": "whatever"})),
            (PUBLIC, token(rsa_key(), "RS256", {"kid": "r1"})),
            (PUBLIC, token(rsa_key(), "RS256")),
            (PUBLIC, token(ec_key(), "ES256", {"kid": "e1"})),
            (ALL, token()),
            (ALL, token(ec_key(), "ES256")),
        ]
    ),
)
async def test_good_tokens(verifier: JwtVerifier, credential: str) -> None:
    """They name the owner, and allow what users do with their own tasks until they expire."""
    principal = await verifier.verify(credential)

    assert (principal.owner, principal.scopes) == ("user-17", TASK_SCOPES)
    assert principal.expires_at_s is not None
    assert NOW_S < principal.expires_at_s <= time.time() + 600


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW_S - 120}, "expired"),
        ({"exp": None}, '"exp"'),
        ({"exp": "9999999999"}, '"exp" is not a number'),
        ({"exp": True}, '"exp" is not a number'),
        ({"exp": 10**400}, '"exp" is out of range'),
        ({"exp": -1}, '"exp" is out of range'),
        ({"nbf": NOW_S + 3_600}, "not valid yet"),
        ({"nbf": "soon"}, '"nbf" is not a number'),
        ({"iat": NOW_S + 3_600}, "not valid yet"),
        ({"aud": "other"}, '"aud"'),
        ({"aud": None}, '"aud"'),
        ({"aud": {"tasks": 1}}, '"aud"'),
        ({"aud": f"{AUDIENCE}x"}, '"aud"'),
        ({"iss": "https://issuer.example"}, '"iss"'),
        ({"iss": None}, '"iss"'),
        ({"sub": None}, 'no claim "sub"'),
        ({"sub": ""}, "empty"),
        ({"sub": 17}, "not a string"),
        ({"sub": ["user-17"]}, "not a string"),
        ({"sub": "key:admin"}, "reserved"),
        ({"sub": "x" * 300}, "longer than"),
        ({"sub": "a\n"}, "printed"),
    ],
)
async def test_bad_claims(changes: dict[str, Any], reason: str) -> None:
    """Correctly signed tokens of another time, audience or issuer, or without a good owner."""
    payload = json.dumps(claims(**changes))

    assert reason in await refusal(HMAC, hand_signed(HEADER, payload))


@pytest.mark.parametrize(("offset_s", "is_good"), [(-LEEWAY_S / 2, True), (-LEEWAY_S * 2, False)])
async def test_clocks_may_differ_by_a_minute(offset_s: float, *, is_good: bool) -> None:
    """A token that has just expired is accepted, and its socket has until the leeway is over."""
    credential = token(exp=NOW_S + offset_s)
    if not is_good:
        assert "expired" in await refusal(HMAC, credential)
        return

    principal = await HMAC.verify(credential)

    assert principal.expires_at_s == pytest.approx(NOW_S + offset_s + LEEWAY_S)


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "EdDSA", None, 5, ["HS256"]]
)
@pytest.mark.parametrize("verifier", [HMAC, PUBLIC, ALL], ids=["HMAC", "public", "all"])
async def test_the_token_does_not_choose_the_algorithm(
    verifier: JwtVerifier, algorithm: Any
) -> None:
    """`none` in any spelling, others of the same family, and none at all; signed or not."""
    header = json.dumps({"alg": algorithm} if algorithm is not None else {"typ": "JWT"})
    payload = json.dumps(claims())
    unsigned = f"{b64(header)}.{b64(payload)}."

    for credential in (unsigned, f"{unsigned}AA", hand_signed(header, payload)):
        assert await refusal(verifier, credential)


@pytest.mark.parametrize(
    "secret",
    numbered(
        [
            pem(rsa_key()),
            pem(rsa_key()).strip(),
            pem(ec_key()),
            json.dumps(jwk(rsa_key(), "r1")).encode(),
            b"",
            b"\0" * 32,
        ]
    ),
)
@pytest.mark.parametrize("verifier", [PUBLIC, ALL], ids=["public", "all"])
async def test_a_public_key_is_not_a_secret(verifier: JwtVerifier, secret: bytes) -> None:
    """HS256 with the published key as secret, whether or not HS256 is accepted at all."""
    for kid in ("r1", "e1"):
        header = json.dumps({"alg": "HS256", "kid": kid})

        assert await refusal(verifier, hand_signed(header, json.dumps(claims()), secret))


async def test_a_key_of_another_type_does_not_fit() -> None:
    """ES256 with the id of an RSA key, and the other way round."""
    wrong = [
        token(ec_key(), "ES256", {"kid": "r1"}),
        token(rsa_key(), "RS256", {"kid": "e1"}),
        token(rsa_key(), "RS256", {"kid": "r2"}),
        token(rsa_key(1), "RS256", {"kid": "r1"}),
        token(rsa_key(1), "RS256"),
    ]

    for credential in wrong:
        assert await refusal(PUBLIC, credential)


async def test_a_token_without_key_id_needs_a_single_key() -> None:
    """With several keys of its type nothing tells which one is meant."""
    two = key_set_of(key_set(jwk(rsa_key(), "r1"), jwk(rsa_key(1), "r2")))

    assert "key that is not known" in await refusal(
        JwtVerifier(PUBLIC_RULES, two), token(rsa_key(), "RS256")
    )


@pytest.mark.parametrize(
    "headers",
    numbered(
        [
            {"jwk": jwk(rsa_key(9), None)},
            {"jku": "https://evil.example/keys"},
            {"x5u": "https://evil.example/cert"},
            {"x5c": ["MIIB"]},
            {"jwk": jwk(rsa_key(9), "r1"), "kid": "r1"},
            {"kid": "../../dev/null"},
            {"kid": "' OR 1=1 --"},
            {"kid": "r1\0"},
        ]
    ),
)
async def test_keys_that_the_token_brings_are_ignored(headers: dict[str, Any]) -> None:
    """Embedded keys and addresses of keys are never used."""
    assert await refusal(PUBLIC, token(rsa_key(9), "RS256", headers))


@pytest.mark.parametrize(
    "credential",
    numbered(
        [
            "x",
            "..",
            "a.b.c",
            "a.b.c.d.e",
            token().replace(".", "", 1),
            token() + ".",
            token() + "=",
            token() + "==",
            " " + token(),
            token() + "\n",
            token()[:-1],
            hand_signed(HEADER, "[]"),
            hand_signed(HEADER, "null"),
            hand_signed(HEADER, "{"),
            hand_signed("[]", json.dumps(claims())),
            hand_signed(HEADER, "[" * 4_000),
            hand_signed("[" * 4_000, "{}"),
            hand_signed(HEADER, json.dumps(claims(exp=float("inf")))),
            hand_signed(HEADER, json.dumps(claims(exp=float("nan")))),
            hand_signed(HEADER, '{"exp":' + "9" * 5_000 + "}"),
            hand_signed('{"alg":"HS256","crit":["x"],"x":1}', json.dumps(claims())),
            hand_signed('{"alg":"HS256","crit":["b64"],"b64":false}', json.dumps(claims())),
            hand_signed('{"alg":"HS256","kid":7}', json.dumps(claims())),
            "A" * MAX_CREDENTIAL_BYTES,
            f"{b64(HEADER)}.{'A' * 8_000}.AAAA",
        ]
    ),
)
async def test_malformed_tokens(credential: str) -> None:
    """They are refused, and raise nothing else."""
    assert await refusal(HMAC, credential)


@pytest.mark.parametrize(
    ("header", "payload"),
    numbered(
        [
            (HEADER, json.dumps(claims())[:-1] + ',"sub":"victim"}'),
            (HEADER, '{"exp":1,' + json.dumps(claims())[1:]),
            (HEADER, json.dumps(claims())[:-1] + ',"x":{"a":1,"a":2}}'),
            ('{"alg":"none","alg":"HS256"}', json.dumps(claims())),
        ]
    ),
)
async def test_two_equal_names_are_refused(header: str, payload: str) -> None:
    """One program would read the first value and another the last."""
    assert await refusal(HMAC, hand_signed(header, payload)) == "the token is malformed"


async def test_every_changed_bit_of_the_signature_counts() -> None:
    """Also the bits that base64 leaves over."""
    good = token()
    head, _, signature = good.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    changed = []
    for index in range(len(raw)):
        raw[index] ^= 1
        changed.append(f"{head}.{b64(bytes(raw))}")
        raw[index] ^= 1
    last = signature[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed += [good[:-1] + one for one in alphabet if one != last]

    reasons = {await refusal(HMAC, credential) for credential in changed}

    assert reasons == {"the token's signature is not valid"}


async def test_without_rules_about_them_audience_and_issuer_are_free() -> None:
    """Backends that sign with a secret of their own often set neither."""
    verifier = JwtVerifier(JwtRules(algorithms=("HS256",), secret=SECRET))

    owners = [
        (await verifier.verify(credential)).owner
        for credential in (token(), token(aud=None, iss=None), token(aud="other", iss="x"))
    ]

    assert owners == ["user-17"] * 3


@pytest.mark.parametrize(("value", "owner"), [("u-5", "u-5"), (5, "5")])
async def test_another_claim_may_be_the_owner(value: object, owner: str) -> None:
    """It may be an integer too; then `sub` does not matter."""
    verifier = JwtVerifier(replace(HMAC_RULES, owner_claim="user_id"))

    assert (await verifier.verify(token(user_id=value, sub=None))).owner == owner
    assert 'no claim "user_id"' in await refusal(verifier, token())


async def test_the_key_of_a_file_serves_tokens_with_any_key_id() -> None:
    """The file does not say its id; the algorithm must fit all the same."""
    verifier = JwtVerifier(PUBLIC_RULES, SingleKey(key_of_pem(pem(ec_key()))))

    assert (await verifier.verify(token(ec_key(), "ES256", {"kid": "any"}))).owner == "user-17"
    assert await refusal(verifier, token(rsa_key(), "RS256"))


@pytest.mark.parametrize(
    "secret", numbered([pem(rsa_key()), pem(ec_key()), json.dumps(jwk(ec_key(), "e1")).encode()])
)
def test_what_others_know_is_not_taken_as_secret(secret: bytes) -> None:
    """Checked once, at the start."""
    with pytest.raises(jwt.InvalidKeyError):
        checked_secret(secret)

    assert checked_secret(SECRET) == SECRET


def test_the_set_keeps_the_first_of_equal_ids() -> None:
    """A second key with the id of another does not replace it."""
    first, second = rsa_key().public_key(), rsa_key(1).public_key()

    found = KeySet([KnownKey("RS256", "a", first), KnownKey("RS256", "a", second)])

    assert found.get("RS256", "a") is first
