"""Phoenix.Token: tokens made by Phoenix, tokens for Phoenix, keys and ages."""

from __future__ import annotations

import hmac
import math
from typing import Any

import pytest
from hypothesis import given

from phoenix_compat.errors import ConfigError, EncodeError
from phoenix_compat.protocol.erlang_term import Atom, decode, encode
from phoenix_compat.protocol.token import (
    Digest,
    ExpiredTokenError,
    InvalidTokenError,
    decrypt,
    derive_key,
    encrypt,
    read_encrypted,
    read_signed,
    sign,
    verify,
)
from phoenix_compat.protocol.token import cipher as token_cipher
from phoenix_compat.protocol.token import keys as token_keys
from tests.unit.protocol.strategies import json_values, steady
from tests.unit.protocol.token.token_vectors import (
    BY_NAME,
    COMPRESSED_BY_OTP,
    DAY_MS,
    ENCRYPTED,
    ENCRYPTED_V1,
    KEY,
    LEGACY_MAP_BY_OTP,
    MADE_WITH_ATOM_KEY,
    MAKE_AND_READ,
    MAP_DATA,
    NONCE,
    SECRET,
    SIGNED_AT_MS,
    SIGNED_BY_OTP,
    VECTORS,
    as_json,
    b64,
    encrypt_at,
    sign_at,
    signed_term,
    unb64,
)

# What Phoenix makes


@pytest.mark.parametrize("vector", VECTORS["tokens"], ids=BY_NAME)
def test_tokens_of_phoenix_are_read(vector: dict[str, Any]) -> None:
    """Every token of plug_crypto has its data."""
    data = verify(vector["token"], KEY, now_ms=0, max_age_s=math.inf)

    assert vector["data"] == as_json(data)


@pytest.mark.parametrize("vector", VECTORS["tokens"], ids=BY_NAME)
def test_tokens_of_phoenix_are_made_again(vector: dict[str, Any]) -> None:
    """Each token, composed again from its parts, is identical."""
    term = decode(unb64(vector["token"].split(".")[1]), is_raw=True)

    plain = f"SFMyNTY.{b64(encode(term, atoms='latin-1'))}"

    assert vector["token"] == f"{plain}.{b64(hmac.digest(KEY, plain.encode(), 'sha256'))}"


@pytest.mark.parametrize("name", ["int", "str", "strmap", "signedat", "uuid"])
def test_tokens_without_atoms_are_the_same_by_sign(name: str) -> None:
    """With the same data and time, `sign` returns Phoenix's token for any OTP."""
    vector = BY_NAME[name]
    _, signed_at_ms, _ = decode(unb64(vector["token"].split(".")[1]))

    token = sign(vector["data"], KEY, signed_at_ms=signed_at_ms)

    assert vector["token"] == token


def test_the_token_for_ever_is_for_ever() -> None:
    """`max_age: :infinity` at signing needs no age at reading; a limit there still applies."""
    token = BY_NAME["maxageinf"]["token"]

    assert verify(token, KEY, now_ms=10**15) == 1
    with pytest.raises(ExpiredTokenError):
        verify(token, KEY, now_ms=10**15, max_age_s=1)


@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_the_header_chooses_the_digest(digest: Digest) -> None:
    """HS384 and HS512 tokens of OTP are read, and written identically."""
    token = SIGNED_BY_OTP[digest]

    assert verify(token, KEY, now_ms=SIGNED_AT_MS) == MAP_DATA
    assert token == sign(MADE_WITH_ATOM_KEY, KEY, signed_at_ms=SIGNED_AT_MS, digest=digest)


def test_compressed_tokens_are_read() -> None:
    """The option `compressed` of plug_crypto 2.2."""
    assert verify(COMPRESSED_BY_OTP, KEY, now_ms=SIGNED_AT_MS) == ["room:lobby"] * 50


def test_encrypted_tokens_of_plug_crypto_2() -> None:
    """XChaCha20-Poly1305 tokens of OTP are read, and written identically."""
    token = encrypt(MADE_WITH_ATOM_KEY, KEY, signed_at_ms=SIGNED_AT_MS, nonce=NONCE)

    assert token == ENCRYPTED
    assert decrypt(token, KEY, now_ms=SIGNED_AT_MS) == MAP_DATA


@pytest.mark.parametrize("bits", ENCRYPTED_V1)
def test_encrypted_tokens_of_plug_crypto_1(bits: int) -> None:
    """AES-GCM with a wrapped key of 128, 192 or 256 bits is read."""
    assert decrypt(ENCRYPTED_V1[bits], KEY, now_ms=SIGNED_AT_MS) == MAP_DATA


def test_the_cipher_is_that_of_its_draft() -> None:
    """draft-irtf-cfrg-xchacha-03, A.3.1: the ciphertext begins and ends as printed there."""
    key, long_nonce = bytes(range(0x80, 0xA0)), bytes(range(64, 88))
    cipher, nonce = token_cipher._xchacha20_poly1305(key, long_nonce)
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )

    sealed = cipher.encrypt(nonce, text, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))

    assert bytes.fromhex("bd6d179d3e83d43b9576579493c0e939572a1700252bfacc") == sealed[:24]
    assert bytes.fromhex("c0875924c1c7987947deafd8780acf49") == sealed[-16:]


# What is made here


@MAKE_AND_READ
@steady
@given(data=json_values)
def test_data_comes_back(make: Any, read: Any, data: Any) -> None:
    """Any JSON is read back unchanged."""
    assert data == read(make(data), KEY, now_ms=SIGNED_AT_MS)


@MAKE_AND_READ
def test_raw_keeps_bytes(make: Any, read: Any) -> None:
    """Binaries are texts by default, and bytes with `is_raw`."""
    token = make({"a": ["b", b"\xff"]})

    assert read(token, KEY, now_ms=SIGNED_AT_MS) == {"a": ["b", b"\xff"]}
    assert read(token, KEY, now_ms=SIGNED_AT_MS, is_raw=True) == {b"a": [b"b", b"\xff"]}


@MAKE_AND_READ
def test_values_without_a_term_are_not_signed(make: Any, read: Any) -> None:
    """Data that cannot be a term, and an invalid maximum age, are EncodeErrors."""
    with pytest.raises(EncodeError):
        make(object())
    with pytest.raises(EncodeError):
        make(1, max_age_s=math.nan)


def test_a_nonce_has_its_length() -> None:
    """A nonce of another length is refused before encryption."""
    for size in (0, 12, 23, 25):
        with pytest.raises(EncodeError, match="24 bytes"):
            encrypt(1, KEY, signed_at_ms=0, nonce=bytes(size))


# Keys


def test_a_short_secret_is_refused_with_the_remedy() -> None:
    """A secret under 20 bytes is refused; the error says how to get one, without the secret."""
    with pytest.raises(ConfigError, match="token_urlsafe") as caught:
        derive_key("nineteen-characters", "salt")

    assert "nineteen" not in str(caught.value)
    assert len(derive_key("twenty-characters-ok", "salt")) == 32
    assert len(derive_key("zehn-ümläüté-ßß", "salt")) == 32


def test_text_and_bytes_make_the_same_key() -> None:
    """A secret and a salt are the bytes of their text."""
    assert derive_key(SECRET.encode(), b"user socket") == KEY


def test_a_key_is_computed_once() -> None:
    """A key is cached, and the cache is bounded."""
    before = token_keys._pbkdf2.cache_info()

    derive_key(SECRET, VECTORS["salt"])

    after = token_keys._pbkdf2.cache_info()
    assert (before.hits + 1, before.misses) == (after.hits, after.misses)
    assert after.maxsize


def test_each_option_makes_another_key() -> None:
    """Salt, iterations, length and digest all change the key, as in Phoenix."""
    keys = {
        KEY,
        derive_key(SECRET, "another"),
        derive_key(SECRET, "user socket", iterations=1001),
        derive_key(SECRET, "user socket", length_bytes=64),
        derive_key(SECRET, "user socket", digest="sha512"),
    }

    assert len(keys) == 5


@pytest.mark.parametrize(
    "options", [{"iterations": 0}, {"length_bytes": 0}, {"length_bytes": 2**70}, {"digest": "no"}]
)
def test_numbers_that_make_no_key_are_refused(options: dict[str, Any]) -> None:
    """Invalid key options are a ConfigError."""
    with pytest.raises(ConfigError, match="cannot derive a key with"):
        derive_key(SECRET, "salt", **options)


def test_encryption_needs_32_bytes() -> None:
    """The cipher has one key size; any other is a ConfigError, both ways."""
    key = derive_key(SECRET, "user socket", length_bytes=16)

    with pytest.raises(ConfigError, match="32 bytes"):
        encrypt(1, key, signed_at_ms=0, nonce=NONCE)
    with pytest.raises(ConfigError, match="32 bytes"):
        decrypt(ENCRYPTED, key, now_ms=0)


# How old


@MAKE_AND_READ
def test_a_token_is_valid_to_its_last_millisecond(make: Any, read: Any) -> None:
    """The default is one day: valid at its end, expired a millisecond later."""
    token = make()

    assert read(token, KEY, now_ms=SIGNED_AT_MS + DAY_MS) == 1
    with pytest.raises(ExpiredTokenError):
        read(token, KEY, now_ms=SIGNED_AT_MS + DAY_MS + 1)


@MAKE_AND_READ
@pytest.mark.parametrize(
    ("own_s", "asked_s", "age_ms"),
    [
        (86_400, 0, 0),
        (86_400, -1, 0),
        (0, None, 0),
        (-5, None, 0),
        (86_400, 1, 1_001),
        (86_400, 0.0015, 2),
        (math.inf, 1, 1_001),
        (86_400, math.nan, 0),
        (86_400, -math.inf, 0),
        (math.inf, 0, 0),
    ],
)
def test_expired(make: Any, read: Any, own_s: float, asked_s: float | None, age_ms: int) -> None:
    """Zero and less is always expired, and the reader's maximum age overrides the token's."""
    token = make(max_age_s=own_s)

    with pytest.raises(ExpiredTokenError):
        read(token, KEY, now_ms=SIGNED_AT_MS + age_ms, max_age_s=asked_s)


@MAKE_AND_READ
@pytest.mark.parametrize(
    ("own_s", "asked_s", "age_ms"),
    [
        (86_400, None, 0),
        (86_400, 1, 1_000),
        (86_400, 0.0015, 1),
        (1, 86_400, DAY_MS),
        (1, math.inf, 10**15),
        (0, math.inf, 10**15),
        (math.inf, None, 10**15),
        (1.5, None, 1_500),
        (86_400, 1e308, 10**15),
        (10**400, None, 10**15),
    ],
)
def test_not_expired(
    make: Any, read: Any, own_s: float, asked_s: float | None, age_ms: int
) -> None:
    """Fractions count in milliseconds; the reader may accept a higher age, or any age."""
    token = make(max_age_s=own_s)

    assert read(token, KEY, now_ms=SIGNED_AT_MS + age_ms, max_age_s=asked_s) == 1


@MAKE_AND_READ
def test_a_token_of_the_future_is_invalid(make: Any, read: Any) -> None:
    """There is no tolerance for clock differences, unless any age is accepted."""
    token = make()

    with pytest.raises(InvalidTokenError, match="future"):
        read(token, KEY, now_ms=SIGNED_AT_MS - 1)
    with pytest.raises(ExpiredTokenError):
        read(token, KEY, now_ms=SIGNED_AT_MS - 1, max_age_s=0)
    assert read(token, KEY, now_ms=SIGNED_AT_MS - 1, max_age_s=math.inf) == 1


def test_former_shapes() -> None:
    """`{data, signed}` and the map of early Phoenix versions are read, and valid for one day."""
    pair = signed_term((3, SIGNED_AT_MS))

    for data, token in ((3, pair), (7, LEGACY_MAP_BY_OTP)):
        assert data == verify(token, KEY, now_ms=SIGNED_AT_MS + DAY_MS)
        with pytest.raises(ExpiredTokenError):
            verify(token, KEY, now_ms=SIGNED_AT_MS + DAY_MS + 1)


@pytest.mark.parametrize(
    "term",
    [
        1,
        None,
        (),
        (1,),
        (1, SIGNED_AT_MS, 86_400, 1),
        [1, SIGNED_AT_MS, 86_400],
        [1, SIGNED_AT_MS],
        {"data": 1, "signed": SIGNED_AT_MS},
        {Atom("data"): 1},
        (1, None, 86_400),
        (1, True, 86_400),
        (1, 1.5, 86_400),
        (1, "1", 86_400),
        (1, SIGNED_AT_MS, None),
        (1, SIGNED_AT_MS, True),
        (1, SIGNED_AT_MS, "infinity"),
        (1, SIGNED_AT_MS, Atom("forever")),
        (1, SIGNED_AT_MS, [86_400]),
    ],
)
def test_genuine_terms_that_are_not_tokens(term: Any) -> None:
    """A correctly signed term of another shape is an invalid token."""
    with pytest.raises(InvalidTokenError):
        verify(signed_term(term), KEY, now_ms=SIGNED_AT_MS)


def test_genuine_terms_that_are_not_read() -> None:
    """A pid in a signed token, or two keys that become equal, is an invalid token."""
    pid = b"\x83\x58\x77\x01a" + bytes(12)
    plain = f"SFMyNTY.{b64(pid)}"
    with_pid = f"{plain}.{b64(hmac.digest(KEY, plain.encode(), 'sha256'))}"
    # `{%{:a => 1, "a" => 2}, SIGNED_AT_MS, 86400}`
    both = (
        bytes.fromhex("836803740000000277016161016d00000001616102")
        + encode((SIGNED_AT_MS, 86_400))[3:]
    )
    plain = f"SFMyNTY.{b64(both)}"
    with_both = f"{plain}.{b64(hmac.digest(KEY, plain.encode(), 'sha256'))}"

    for token in (with_pid, with_both):
        with pytest.raises(InvalidTokenError, match="not supported"):
            verify(token, KEY, now_ms=SIGNED_AT_MS)
    raw = verify(with_both, KEY, now_ms=SIGNED_AT_MS, is_raw=True)
    assert {Atom("a"): 1, b"a": 2} == raw


@pytest.mark.parametrize(("max_age_s", "own_age_s"), [(60, 86_400), (None, 60)])
def test_it_is_told_when_a_token_expires(max_age_s: float | None, own_age_s: float) -> None:
    """By the age of the reader, or else by the token's own; None if it never expires."""
    readers = ((sign_at, read_signed), (encrypt_at, read_encrypted))
    found = [
        read(make("ann", own_age_s), KEY, now_ms=SIGNED_AT_MS, max_age_s=max_age_s)
        for make, read in readers
    ]
    endless = [
        read(make("ann"), KEY, now_ms=SIGNED_AT_MS, max_age_s=math.inf) for make, read in readers
    ]

    assert found == [("ann", SIGNED_AT_MS + 60_000)] * 2
    assert endless == [("ann", None)] * 2
