"""Public keys from PEM files and key sets."""

from __future__ import annotations

from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.auth.jwt.jwt_keys import MAX_KEYS, key_of_pem, key_set_of
from tests.certificate import write_certificate
from tests.unit.server.auth.jwt_builder import ec_key, jwk, key_set, numbered, pem, rsa_key


def test_the_key_says_its_algorithm() -> None:
    """RSA keys are for RS256, those on P-256 for ES256."""
    assert [key_of_pem(pem(key)).algorithm for key in (rsa_key(), ec_key())] == ["RS256", "ES256"]


def test_a_certificate_holds_a_key(tmp_path: Any) -> None:
    """Some issuers publish certificates."""
    assert key_of_pem(write_certificate(tmp_path).read_bytes()).algorithm == "ES256"


@pytest.mark.parametrize(
    ("data", "reason"),
    numbered(
        [
            (b"", "not a public key"),
            (b"secret", "not a public key"),
            (b"-----BEGIN CERTIFICATE-----\nx", "not a public key"),
            (pem(rsa_key(bits=1024)), "2048 to 8192 bits"),
            (pem(ec_key(is_p256=False)), "P-256"),
        ]
    ),
)
def test_files_without_a_good_key(data: bytes, reason: str) -> None:
    """The text says what is expected, and quotes nothing of the file."""
    with pytest.raises(ConfigError, match=reason) as refused:
        key_of_pem(data)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "entry",
    numbered(
        [
            {"kty": "oct", "kid": "a", "k": "c2VjcmV0"},
            {"kty": "OKP", "kid": "a", "crv": "Ed25519", "x": "AA"},
            jwk(rsa_key(), "a", use="enc"),
            jwk(rsa_key(), "a", key_ops=["encrypt"]),
            jwk(rsa_key(), "a", key_ops="verify"),
            jwk(rsa_key(), "a", alg="RS512"),
            jwk(rsa_key(), "a", alg="HS256"),
            {**RSAAlgorithm.to_jwk(rsa_key(), as_dict=True), "key_ops": ["sign", "verify"]},
            {**jwk(rsa_key(), "a"), "kid": 5},
            jwk(rsa_key(bits=1024), "a"),
            jwk(ec_key(is_p256=False), "a"),
            jwk(rsa_key(), "a", n="!"),
            jwk(rsa_key(), "a", n=None),
            jwk(rsa_key(), "a", e="____________"),
            jwk(ec_key(), "a", x="AA"),
            {"kty": ["RSA"]},
            {},
        ]
    ),
)
def test_keys_that_are_left_out(entry: dict[str, Any]) -> None:
    """Secrets, weak keys and keys for other purposes; the rest of the set is used."""
    found = key_set_of(key_set(entry, jwk(ec_key(), "good")))

    assert len(found) == 1
    assert found.get("ES256", "good") is not None
    with pytest.raises(ConfigError, match="has no key for RS256"):
        key_set_of(key_set(entry))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not valid JSON"),
        (b"<html>", "not valid JSON"),
        (b"[" * 5_000, "not valid JSON"),
        (b"[]", 'a list "keys"'),
        (b'{"keys": {}}', 'a list "keys"'),
        (b'{"keys": []}', "has no key"),
        (b'{"keys": ["x", null, 5]}', "has no key"),
    ],
)
def test_what_is_not_a_key_set(data: bytes, reason: str) -> None:
    """Pages, other JSON and empty sets."""
    with pytest.raises(ConfigError, match=reason):
        key_set_of(data)


def test_a_set_is_read_up_to_a_limit() -> None:
    """Checking a key takes time, so only the first ones are."""
    filler = [{"kty": "oct"}] * MAX_KEYS

    with pytest.raises(ConfigError, match="has no key"):
        key_set_of(key_set(*filler, jwk(ec_key(), "late")))
