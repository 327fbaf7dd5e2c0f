"""Reading Erlang terms: round trips, other forms, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import math
import random
import struct
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.errors import ProtocolError
from phoenix_compat.protocol.erlang_term import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_INTEGER_BYTES,
    MAX_LONG_KEYS,
    MAX_TERMS,
    Atom,
    AtomForm,
    TermError,
    decode,
    encode,
    normalise,
)
from tests.patience import patient
from tests.unit.protocol.erlang_term.term_vectors import (
    compressed,
    friendly_terms,
    raw_terms,
    term,
)
from tests.unit.protocol.strategies import steady


@steady
@given(raw_terms, st.sampled_from(["utf-8", "latin-1"]))
def test_raw_round_trip(value: Any, form: AtomForm) -> None:
    """Written terms are read again with the same types."""
    again = decode(encode(value, atoms=form), is_raw=True)

    assert value == again
    assert encode(value) == encode(again)


@steady
@given(friendly_terms)
def test_friendly_round_trip(value: Any) -> None:
    """Texts, and dicts with text keys, are read again without `is_raw`."""
    assert value == decode(encode(value))


@steady
@given(raw_terms)
def test_compressed_terms_are_read(value: Any) -> None:
    """A compressed term is the same term."""
    data = encode(value)

    assert value == decode(compressed(data[1:]), is_raw=True)


def test_compressed_by_otp() -> None:
    """`term_to_binary(lists:duplicate(100, <<"ab">>), [compressed])` of OTP 25."""
    data = base64.b64decode("g1AAAALCeJzLYWBgSMkFEkyJSaPUKDXkqCwAKIZ4ww==")

    assert decode(data) == ["ab"] * 100


def test_binaries_are_texts_where_they_can_be() -> None:
    """UTF-8 becomes str, as value and as key; other bytes stay; `is_raw` keeps all bytes."""
    data = encode({b"name": b"Zo\xc3\xab", b"\xff": [b"\xfe", (b"x",)]})

    assert decode(data) == {"name": "Zoë", b"\xff": [b"\xfe", ("x",)]}
    assert decode(data, is_raw=True) == {b"name": b"Zo\xc3\xab", b"\xff": [b"\xfe", (b"x",)]}


def test_atoms_are_distinguished_as_values_but_not_as_keys() -> None:
    """An atom is an Atom as a value, and a plain str as a key."""
    value = decode(encode({Atom("role"): Atom("admin"), Atom("on"): True, 7: None}))

    assert value == {"role": "admin", "on": True, 7: None}
    assert [str, str, int] == [type(key) for key in sorted(value, key=str, reverse=True)]
    assert repr(value["role"]) == "Atom('admin')"
    assert str is type(str(value["role"]))


def test_keys_that_become_one_are_refused() -> None:
    """`:a` and `"a"` are two keys in Erlang; only `is_raw` keeps both."""
    data = term(116, (2).to_bytes(4), 119, 1, b"a", 97, 1, 109, (1).to_bytes(4), b"a", 97, 2)

    assert {Atom("a"): 1, b"a": 2} == decode(data, is_raw=True)
    with pytest.raises(TermError, match="the same"):
        decode(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (term(115, 1, 200), Atom("È")),
        (term(118, 0, 2, b"\xc3\xa9"), Atom("é")),
        (term(119, 0), Atom("")),
        (term(107, 0, 0), []),
        (term(110, 0, 0), 0),
        (term(110, 1, 2, 5), -5),
        (term(111, 0, 0, 0, 1, 0, 5), 5),
        (term(108, 0, 0, 0, 0, 106), []),
        (term(105, 0, 0, 0, 1, 97, 1), (1,)),
        (term(99, b"1.50000000000000000000e+00".ljust(31, b"\0")), 1.5),
        (term(99, b"-2.5e-3".ljust(31, b"\0")), -0.0025),
        (term(99, b"1.5".ljust(31, b"\0")), 1.5),
    ],
)
def test_other_spellings(data: bytes, expected: Any) -> None:
    """Forms that Erlang still reads but no longer writes."""
    value = decode(data)

    assert (type(expected), expected) == (type(value), value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x83",
        b"\x82a\x01",
        b"a\x01",
        term(97),
        term(97, 1, 0),
        term(98, 0, 0),
        term(70, struct.pack(">d", math.inf)),
        term(70, struct.pack(">d", math.nan)),
        term(99, b"1.5e0xyz".ljust(31, b"\0")),
        term(99, b"1_0.5".ljust(31, b"\0")),
        term(99, b"1.5e999".ljust(31, b"\0")),
        term(99, b"nan".ljust(31, b"\0")),
        term(100, 1, 0, b"a" * 256),
        term(118, 1, 0, b"a" * 256),
        term(119, 1, 200),
        term(108, 0, 0, 0, 1, 97, 1, 97, 2),
        term(108, 0, 0, 0, 2, 97, 1, 106),
        term(108, 0, 0, 0, 1, 97, 1, 107),
        term(108, 255, 255, 255, 255),
        term(105, 255, 255, 255, 255),
        term(116, 255, 255, 255, 255),
        term(109, 255, 255, 255, 255),
        term(111, 255, 255, 255, 255, 0),
        term(116, 0, 0, 0, 1, 106, 97, 1),
        term(116, 0, 0, 0, 1, 104, 0, 97, 1),
        term(116, 0, 0, 0, 1, 116, 0, 0, 0, 0, 97, 1),
        term(116, 0, 0, 0, 2, 97, 1, 97, 1, 97, 1, 97, 2),
        term(116, 0, 0, 0, 2, 97, 1, 97, 1, 70, struct.pack(">d", 1.0), 97, 2),
    ],
)
def test_invalid_terms_are_refused(data: bytes) -> None:
    """Truncated, too long, wrong lengths, not finite, improper, or with duplicate keys."""
    with pytest.raises(TermError):
        decode(data)


@pytest.mark.parametrize(
    "tag", sorted(set(range(256)) - {70, *range(97, 101), *range(104, 112), 115, 116, 118, 119})
)
def test_other_kinds_are_refused(tag: int) -> None:
    """Functions, pids, references, ports, bitstrings, caches, and terms compressed twice."""
    data = encode([1.5])[:-1] + bytes([tag]) + bytes(64)
    inner = term(104, 1, tag, bytes(64))

    for attempt in (data, inner):
        with pytest.raises(TermError):
            decode(attempt)


@pytest.mark.parametrize(
    "data",
    [
        compressed(b"a\x01", size=3),
        compressed(b"a\x01", size=1),
        compressed(b"a\x01", size=MAX_BYTES + 1),
        compressed(b"a\x01") + b"\0",
        compressed(b"a\x01")[:-1],
        compressed(b"a\x01" + bytes(MAX_BYTES), size=MAX_BYTES),
        compressed(b"m" + MAX_BYTES.to_bytes(4) + bytes(MAX_BYTES)),
        compressed(compressed(b"a\x01")[1:]),
        compressed(b"m\xff\xff\xff\xff"),
        term(80, 0, 0, 0, 2, b"no zlib"),
        term(80),
    ],
)
def test_compressed_terms_are_bounded(data: bytes) -> None:
    """A compressed term with a wrong or too large size is refused."""
    with pytest.raises(TermError):
        decode(data)


def test_reading_is_bounded() -> None:
    """Depth, number of terms and bytes are limited, however they are wrapped."""
    deepest = [104, 1] * (MAX_DEPTH - 1) + [106]
    most = term(108, (MAX_TERMS - 1).to_bytes(4), bytes([106]) * MAX_TERMS)
    characters = term(107, (MAX_TERMS - 1).to_bytes(2), bytes(MAX_TERMS - 1))
    too_many = term(108, MAX_TERMS.to_bytes(4), bytes([106]) * (MAX_TERMS + 1))

    decode(term(*deepest))
    decode(most)
    decode(characters)
    for data in (
        term(104, 1, *deepest),
        too_many,
        compressed(too_many[1:]),
        term(107, MAX_TERMS.to_bytes(2), bytes(MAX_TERMS)),
        term(109, MAX_BYTES.to_bytes(4), bytes(MAX_BYTES)),
    ):
        with pytest.raises(TermError):
            decode(data)


def long_integer(size: int) -> bytes:
    """An integer of this many bytes, as a part of a term; of very many it has only the first."""
    return b"o" + size.to_bytes(4) + b"\0" + b"\xff" * min(size, 1_000_000)


def test_integers_are_bounded() -> None:
    """S14: every integer that is read can be printed; a longer one is refused wherever it is."""
    longest = decode(term(long_integer(MAX_INTEGER_BYTES)))

    assert len(str(longest)) < 4_300
    assert decode(encode(longest)) == longest
    for size in (MAX_INTEGER_BYTES + 1, 1_000_000, 0xFFFFFFFF):
        too_long = long_integer(size)
        for wrapped in (
            term(too_long),
            term(104, 3, 97, 1, too_long, 97, 1),
            term(108, 0, 0, 0, 1, too_long, 106),
            term(116, 0, 0, 0, 1, too_long, 97, 1),
            term(116, 0, 0, 0, 1, 97, 1, too_long),
        ):
            with pytest.raises(TermError, match="integer"):
                decode(wrapped)


def test_keys_with_one_hash_are_bounded() -> None:
    """Thousands of integers that are equal modulo Python's hash would make a slow dict."""

    def with_keys(count: int) -> bytes:
        modulus = sys.hash_info.modulus
        keys = ((number * modulus << 4).to_bytes(12, "little") for number in range(1, count + 1))
        pairs = b"".join(b"n\x0c\0" + key + b"a\1" for key in keys)
        return term(116, count.to_bytes(4), pairs)

    assert len(decode(with_keys(MAX_LONG_KEYS - 1))) == MAX_LONG_KEYS - 1
    with pytest.raises(TermError, match="long integers"):
        decode(with_keys(MAX_LONG_KEYS + 1))


heads = st.sampled_from([70, *range(97, 101), *range(104, 112), 115, 116, 118, 119, 80, 131])
sizes = st.sampled_from([0, 1, 255, 256, 1024, 65_535, 2**20, 2**31, 2**32 - 1])


@steady
@given(
    st.lists(
        st.tuples(heads, st.integers(1, 4), sizes, st.binary(max_size=40), st.integers(1, 500)),
        min_size=1,
        max_size=6,
    )
)
def test_hostile_terms_cost_little(parts: list[tuple[int, int, int, bytes, int]]) -> None:
    """S14: whatever the tags, lengths and repeats, the result is a term or a TermError, soon."""
    data = b"\x83" + b"".join(
        (bytes([head]) + (size % 256**width).to_bytes(width) + rest) * repeats
        for head, width, size, rest, repeats in parts
    )
    started_s = time.process_time()

    with contextlib.suppress(TermError):
        repr(decode(data))

    assert time.process_time() - started_s < patient(0.5)


def test_an_error_here_is_an_error_of_the_protocol() -> None:
    """`except ProtocolError` catches a TermError."""
    assert issubclass(TermError, ProtocolError)


def test_normalising_leaves_the_raw_term_alone() -> None:
    """`normalise` does not modify the raw term."""
    raw = {b"a": [b"b"]}

    assert normalise(raw) == {"a": ["b"]}
    assert raw == {b"a": [b"b"]}


@steady
@given(st.binary(max_size=200))
def test_random_bytes_are_a_term_or_refused(data: bytes) -> None:
    """Any bytes are a term or raise a TermError."""
    for attempt in (data, b"\x83" + data, b"\x83\x68\x03" + data, compressed(data)):
        try:
            value = decode(attempt)
        except TermError:
            continue
        assert value == decode(encode(value))


def test_mutated_terms_are_a_term_or_refused() -> None:
    """Thirty thousand mutations of a term raise no error but TermError."""
    rng = random.Random(7)  # noqa: S311 - seeded, no secret
    sample = encode(
        ({Atom("user"): 5, b"n": -(2**70), 3: 1.5}, [None, True, b"x" * 9], [1, 2, 3], (), [])
    )

    for _ in range(30_000):
        data = bytearray(sample)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(1, len(data))] = rng.choice((rng.randrange(256), 104, 108, 116, 255))
        try:
            decode(bytes(data[: rng.choice((len(data), rng.randrange(len(data))))]))
        except TermError:
            continue
