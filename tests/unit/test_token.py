"""Tokens: the clock, the random source and the secrets."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest

from phoenix_compat.conformance.suite.catalog import read_vectors
from phoenix_compat.errors import ConfigError
from phoenix_compat.protocol.token import (
    ExpiredTokenError,
    InvalidTokenError,
    MissingTokenError,
    sign,
)
from phoenix_compat.token import Tokens

VECTORS = read_vectors("data/tokens.json")
SECRET: str = VECTORS["secret_key_base"]
FORMER = "former-secret-key-base-of-the-endpoint-0123456789"
NOW_MS = 1_000_000_000


class Clock:
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


def tokens(*secrets: str, **options: Any) -> Tokens:
    """Tokens with the clock at NOW_MS, or with the given clock."""
    return Tokens(*(secrets or (SECRET,)), **{"now_ms": Clock(), **options})


BOTH = pytest.mark.parametrize(
    ("make", "read"),
    [(Tokens.sign, Tokens.verify), (Tokens.encrypt, Tokens.decrypt)],
    ids=["signed", "encrypted"],
)


@pytest.mark.parametrize("vector", VECTORS["tokens"], ids=lambda vector: vector["id"])
def test_tokens_of_phoenix(vector: dict[str, Any]) -> None:
    """A token made by Phoenix with this secret has its data."""
    data = tokens().verify("user socket", vector["token"], max_age_s=math.inf)

    assert vector["data"] == json.loads(json.dumps(data))


@BOTH
def test_round_trip(make: Any, read: Any) -> None:
    """Tokens are read again, with the real clock and real random bytes."""
    real = Tokens(SECRET)

    token = make(real, "user socket", {"id": 7, "roles": ["admin"]})

    assert read(real, "user socket", token) == {"id": 7, "roles": ["admin"]}
    assert read(real, "user socket", token, is_raw=True) == {b"id": 7, b"roles": [b"admin"]}


def test_it_is_signed_now() -> None:
    """The time of signing is the wall clock time in milliseconds."""
    before = time.time()

    token = Tokens(SECRET).sign("user socket", 1)

    reader = tokens(now_ms=lambda: int(before * 1000) - 1)
    with pytest.raises(InvalidTokenError, match="future"):
        reader.verify("user socket", token)
    reader = tokens(now_ms=lambda: int(time.time() * 1000) + 86_400_000)
    assert reader.verify("user socket", token, max_age_s=86_401) == 1


@BOTH
def test_it_expires(make: Any, read: Any) -> None:
    """One day by default, the token's own age otherwise; the reader's age takes precedence."""
    clock = Clock()
    ours = tokens(now_ms=clock)
    long, short = make(ours, "s", 1), make(ours, "s", 2, max_age_s=60)

    clock.ms += 60_001

    assert read(ours, "s", long) == 1
    assert read(ours, "s", short, max_age_s=61) == 2
    with pytest.raises(ExpiredTokenError):
        read(ours, "s", short)
    with pytest.raises(ExpiredTokenError):
        read(ours, "s", long, max_age_s=60)


@BOTH
def test_it_can_be_signed_at_another_time(make: Any, read: Any) -> None:
    """`signed_at_s` is in seconds, as in Phoenix; fractions count in milliseconds."""
    ours = tokens()

    token = make(ours, "s", 1, max_age_s=10, signed_at_s=NOW_MS / 1000 - 10.001)

    with pytest.raises(ExpiredTokenError):
        read(ours, "s", token)
    assert read(ours, "s", token, max_age_s=10.001) == 1


def test_phoenix_signs_the_same() -> None:
    """The result is identical to a token that Phoenix signed at a given time."""
    expected = next(v["token"] for v in VECTORS["tokens"] if v["id"] == "signedat")

    assert expected == tokens().sign("user socket", 1, signed_at_s=1_000_000)


@BOTH
def test_a_salt_is_a_use(make: Any, read: Any) -> None:
    """A token for one purpose is invalid for another; text and bytes are equal salts."""
    ours = tokens()
    token = make(ours, "user socket", 1)

    assert read(ours, b"user socket", token) == 1
    with pytest.raises(InvalidTokenError):
        read(ours, "password reset", token)


@BOTH
def test_a_missing_token(make: Any, read: Any) -> None:
    """None is missing, with one secret and with several."""
    for ours in (tokens(), tokens(SECRET, FORMER)):
        with pytest.raises(MissingTokenError):
            read(ours, "s", None)


@BOTH
def test_rotation(make: Any, read: Any) -> None:
    """Tokens of a retired secret are read; an unknown secret is refused."""
    before, between, after = tokens(FORMER), tokens(SECRET, "z" * 40, FORMER), tokens(SECRET)
    old, new = make(before, "s", "old"), make(between, "s", "new")

    assert read(between, "s", old) == "old"
    assert read(between, "s", new) == "new"
    assert read(after, "s", new) == "new"
    with pytest.raises(InvalidTokenError):
        read(after, "s", old)
    with pytest.raises(InvalidTokenError):
        read(before, "s", new)
    with pytest.raises(InvalidTokenError, match="secret and salt"):
        read(between, "s", make(tokens("y" * 40), "s", "foreign"))


@BOTH
def test_an_old_token_of_a_retired_secret_is_expired(make: Any, read: Any) -> None:
    """The error is that it is too old, not that it is invalid."""
    clock = Clock()
    token = make(tokens(FORMER), "s", 1)
    ours = tokens(SECRET, FORMER, now_ms=clock)

    clock.ms += 86_400_001

    with pytest.raises(ExpiredTokenError):
        read(ours, "s", token)


def test_every_encrypted_token_has_a_nonce_of_its_own() -> None:
    """The same data gives two different tokens, with 24 random bytes each."""
    asked = []

    def random_bytes(size: int) -> bytes:
        asked.append(size)
        return bytes([len(asked)]) * size

    ours = tokens(random_bytes=random_bytes)

    first, second = ours.encrypt("s", 1), ours.encrypt("s", 1)

    assert asked == [24, 24]
    assert first != second
    assert tokens(random_bytes=lambda size: bytes([1]) * size).encrypt("s", 1) == first


def test_key_options_are_phoenix_s() -> None:
    """`key_iterations`, `key_length` and `key_digest` must agree on both sides."""
    ours = tokens(key_iterations=1500, key_length=64, key_digest="sha512")
    token = ours.sign("s", 1)

    assert ours.verify("s", token) == 1
    with pytest.raises(InvalidTokenError):
        tokens().verify("s", token)


@pytest.mark.parametrize("secrets", [("short",), (SECRET, "short"), ("",)])
def test_a_short_secret_is_refused_at_once(secrets: tuple[str, ...]) -> None:
    """Every secret is checked at the start, and the error says what to do."""
    with pytest.raises(ConfigError, match=r"needs at least 20; .*token_urlsafe"):
        Tokens(*secrets)


def test_wrong_key_options_are_refused_at_once() -> None:
    """Invalid key options fail at the start."""
    with pytest.raises(ConfigError, match="iterations=0"):
        Tokens(SECRET, key_iterations=0)


def test_the_secret_is_not_shown() -> None:
    """Printing the object does not print the secrets."""
    assert SECRET not in repr(Tokens(SECRET))


def test_the_digest_of_the_signature_is_the_signer_s() -> None:
    """A token with HS512 is read without any option, as in Phoenix."""
    ours = tokens()
    token = sign(1, ours._keys("s")[0], signed_at_ms=NOW_MS, digest="sha512")

    assert ours.verify("s", token) == 1
