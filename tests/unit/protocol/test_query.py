"""Query strings by Plug's rules: docs/protocol.md §1.3.2."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.protocol.query import BadQueryError, decode_query
from tests.unit.protocol.strategies import steady


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=1&a=2", {"a": "2"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("&&a=1&&b=2&", {"a": "1", "b": "2"}),
        ("a+b=c+d%2B", {"a b": "c d+"}),
        ("a=%C3%A9&%C3%A9=1", {"a": "é", "é": "1"}),
        ("a=é", {"a": "é"}),
        ("a=%zz", {"a": "%zz"}),
        ("a=%&b=%4", {"a": "%", "b": "%4"}),
        ("a=%26%3D", {"a": "&="}),
    ],
)
def test_names_and_values(query: str, expected: Any) -> None:
    """`+` is a space, the last of equal names wins, empty segments and bad escapes are allowed."""
    assert expected == decode_query(query)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a[b]=1", {"a": {"b": "1"}}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a%5Bb%5D=1", {"a": {"b": "1"}}),
        ("l[]=1&l[]=2", {"l": ["1", "2"]}),
        ("l[]", {"l": [""]}),
        ("a[l][]=1&a[l][]=2", {"a": {"l": ["1", "2"]}}),
        ("l[][x]=1&l[][x]=2", {"l": [{"x": "2"}]}),
        ("l[][x]=1&l[][y]=2", {"l": [{"x": "1", "y": "2"}]}),
        ("l[][]=1", {"l": [["1"]]}),
        ("l[][]=1&l[][]=2", {"l": [["1", "2"]]}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
        ("a[b]=1&a=2", {"a": "2"}),
        ("a[]=1&a[b]=2", {"a": {"b": "2"}}),
        ("a[b]=1&a[]=2", {"a": ["2"]}),
        ("a[b]=1&a=2&a[c]=3", {"a": "2"}),
        ("a[][b]=1&a[b]=2", {"a": {"b": "2", "nil": {"b": "1"}}}),
        ("a[]=1&a[b]=2&a[]=3", {"a": ["1", "3"]}),
    ],
)
def test_brackets_nest(query: str, expected: Any) -> None:
    """B2: `a[b]` is an entry of a dict, `l[]` of a list; contradictions replace earlier values."""
    assert expected == decode_query(query)


@pytest.mark.parametrize("name", ["a[", "a]", "a[b", "[a]", "[]", "a[b]c", "["])
def test_brackets_that_do_not_pair_belong_to_the_name(name: str) -> None:
    """A name with stray brackets is unchanged."""
    assert {name: "1"} == decode_query(f"{name}=1")


@pytest.mark.parametrize(
    "query", ["a=%ff", "%ff=1", "a=%C3", "a=%ED%A0%80", "a[%ff]=1", "a=\udcff"]
)
def test_bytes_that_are_not_utf8_are_refused(query: str) -> None:
    """Bytes that are not UTF-8, escaped or raw, are a bad request."""
    with pytest.raises(BadQueryError, match="invalid UTF-8"):
        decode_query(query)


@pytest.mark.parametrize("name", ["a" + "[b]" * 2_700, "a" + "[]" * 4_000], ids=["dicts", "lists"])
def test_brackets_without_end_are_read_or_refused(name: str) -> None:
    """A request line full of brackets does not crash the server."""
    try:
        outcome = list(decode_query(f"{name}=1"))
    except BadQueryError:
        outcome = ["a"]

    assert outcome == ["a"]


def test_names_of_a_hundred_levels_are_read() -> None:
    """A hundred are read, and one more is refused with the limit."""
    found = decode_query("a" + "[b]" * 99 + "=1")

    for _ in range(99):
        found = found["b"] if "b" in found else found["a"]  # type: ignore[assignment]
    assert found == {"b": "1"}
    with pytest.raises(BadQueryError, match="more than 100 levels deep"):
        decode_query("a" + "[b]" * 100 + "=1")


@given(st.dictionaries(st.text("ab é&=+%/?", min_size=1), st.text()))
@steady
def test_what_browsers_encode_is_read(params: dict[str, str]) -> None:
    """Any text of a form arrives unchanged."""
    assert params == decode_query(urlencode(params))


@given(st.text("ab[]=&%+F0\N{LATIN SMALL LETTER E WITH ACUTE}", max_size=40))
@steady
def test_any_query_is_read_or_refused(query: str) -> None:
    """A query string is a dict of texts, lists and dicts, or a bad request."""
    try:
        params = decode_query(query)
    except BadQueryError:
        return

    assert all(isinstance(value, (str, list, dict)) for value in params.values())
