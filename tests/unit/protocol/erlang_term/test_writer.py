"""Writing Erlang terms: the bytes of OTP, and limits."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest

from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol.erlang_term import (
    MAX_BYTES,
    MAX_INTEGER_BYTES,
    MAX_LONG_KEYS,
    MAX_TERMS,
    Atom,
    AtomForm,
    decode,
    encode,
)
from tests.unit.protocol.erlang_term.term_vectors import (
    MIXED_MAP,
    MIXED_MAP_BYTES,
    WRITTEN_BY_OTP,
    term,
)


@pytest.mark.parametrize(("value", "written"), WRITTEN_BY_OTP)
def test_bytes_are_those_of_otp(value: Any, written: str) -> None:
    """Each value has the same bytes as in Erlang."""
    assert base64.b64decode(written) == encode(value, atoms="latin-1")


@pytest.mark.parametrize(("value", "written"), WRITTEN_BY_OTP)
def test_bytes_of_otp_are_read(value: Any, written: str) -> None:
    """Erlang's bytes are read as the same value of the same type."""
    assert repr(value) == repr(decode(base64.b64decode(written), is_raw=True))


def test_atoms_are_utf8_by_default() -> None:
    """OTP 26 and newer writes every atom as UTF-8: `{a, 'é'}` with minor version 2."""
    assert base64.b64decode("g2gCdwFhdwLDqQ==") == encode((Atom("a"), Atom("é")))


@pytest.mark.parametrize("form", ["utf-8", "latin-1"])
def test_long_atoms(form: AtomForm) -> None:
    """An atom may have 255 characters, even if they are more than 255 bytes, but not 256."""
    longest = Atom("日" * 255)

    data = encode(longest, atoms=form)

    assert term(118, (765).to_bytes(2), b"\xe6\x97\xa5" * 255) == data
    assert longest == decode(data)
    with pytest.raises(EncodeError, match="255"):
        encode(Atom("a" * 256), atoms=form)


def test_keys_of_a_map_are_in_term_order() -> None:
    """Integers, floats, atoms, binaries; each sorted by value, as in OTP 25."""
    assert base64.b64decode(MIXED_MAP_BYTES) == encode(MIXED_MAP, atoms="latin-1")


def test_true_false_and_nil_are_atoms_as_keys() -> None:
    """As keys they are sorted among the atoms by name; texts come after them."""
    data = encode({"a": 1, True: 2, Atom("m"): 3, None: 4, False: 5}, atoms="latin-1")

    order = [data.index(name) for name in (b"false", b"m", b"nil", b"true", b"m\0\0\0\1a")]
    assert order == sorted(order)
    assert decode(data) == {"a": 1, "true": 2, "m": 3, "nil": 4, "false": 5}


def test_large_sizes() -> None:
    """Tuples of 256 elements, integers of 256 bytes and long lists have a longer header."""
    values: list[Any] = [tuple([1.5] * 256), 2**2040, -(2**2048), [1] * 9_000]

    tags = [encode(value)[1] for value in values]

    assert tags == [105, 111, 111, 107]
    assert values == [decode(encode(value)) for value in values]


def test_only_a_list_of_bytes_is_a_charlist() -> None:
    """`[1, 2]` is written as a charlist; with a boolean or a larger number it is a list."""
    tags = [encode(value)[1] for value in ([1, 2], [1, True], [1, 256], [1, -1], [1, "a"])]

    assert tags == [107, 108, 108, 108, 108]


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        object(),
        1j,
        math.nan,
        math.inf,
        -math.inf,
        "\ud800",
        Atom("\ud800"),
        {"\ud800": 1},
        {(1, 2): 3},
        {frozenset(): 1},
        {"a": 1, b"a": 2},
        {None: 1, Atom("nil"): 2},
        [{}, [object()]],
    ],
)
def test_values_without_a_term_are_refused(value: Any) -> None:
    """A value that cannot be a term, or a dict with a duplicate key, is an EncodeError."""
    with pytest.raises(EncodeError):
        encode(value)


def test_writing_is_bounded() -> None:
    """Depth, number of terms and bytes are limited; a list that contains itself is refused."""
    endless: list[Any] = []
    endless.append(endless)

    long_keys = dict.fromkeys(range(2**64, 2**64 + MAX_LONG_KEYS + 1))
    fewer = dict.fromkeys(range(2**64, 2**64 + MAX_LONG_KEYS // 2 + 1))
    too_long = 256**MAX_INTEGER_BYTES
    plain = ([1] * MAX_TERMS, [1.5] * MAX_TERMS, b"x" * MAX_BYTES)
    for value in (endless, *plain, long_keys, [fewer, fewer], -too_long):
        with pytest.raises(EncodeError):
            encode(value)
    assert encode(fewer)
