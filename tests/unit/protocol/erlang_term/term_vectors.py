"""Terms that OTP wrote, and the terms that hypothesis generates."""

from __future__ import annotations

import zlib
from typing import Any

from hypothesis import strategies as st

from phoenix_compat.protocol.erlang_term import (
    Atom,
)

# Printed by `term_to_binary/1` of OTP 25, which writes atoms as Latin-1 where it can.
WRITTEN_BY_OTP: list[tuple[Any, str]] = [
    (0, "g2EA"),
    (255, "g2H/"),
    (256, "g2IAAAEA"),
    (-1, "g2L/////"),
    (2**31 - 1, "g2J/////"),
    (2**31, "g24EAAAAAIA="),
    (-(2**31), "g2KAAAAA"),
    (-(2**31) - 1, "g24EAQEAAIA="),
    ([], "g2o="),
    ([1, 2], "g2sAAgEC"),
    ([1, 256], "g2wAAAACYQFiAAABAGo="),
    ([1, -1], "g2wAAAACYQFi/////2o="),
    ([255, 0], "g2sAAv8A"),
    ([1.0, 1.0, 1.0], "g2wAAAADRj/wAAAAAAAARj/wAAAAAAAARj/wAAAAAAAAag=="),
    (1.5, "g0Y/+AAAAAAAAA=="),
    (-0.0, "g0aAAAAAAAAAAA=="),
    ((), "g2gA"),
    ((Atom("a"), b"b"), "g2gCZAABYW0AAAABYg=="),
    (True, "g2QABHRydWU="),
    (False, "g2QABWZhbHNl"),
    (None, "g2QAA25pbA=="),
    (Atom("é"), "g2QAAek="),
    (Atom("日本"), "g3cG5pel5pys"),
]

# #{1 => a, 0.5 => b, a => c, <<"a">> => d, b => 1, <<"aa">> => 2, -5 => 1} in another order.
MIXED_MAP: dict[Any, Any] = {
    b"aa": 2,
    b"a": Atom("d"),
    Atom("b"): 1,
    Atom("a"): Atom("c"),
    0.5: Atom("b"),
    1: Atom("a"),
    -5: 1,
}
MIXED_MAP_BYTES = (
    "g3QAAAAHYv////thAWEBZAABYUY/4AAAAAAAAGQAAWJkAAFhZAABY2QAAWJhAW0AAAABYWQAAWRtAAAAAmFhYQI="
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
atoms = texts.filter(lambda text: text not in {"nil", "true", "false"}).map(Atom)
floats = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers() | st.integers(-(2**2100), 2**2100) | st.integers(0, 255)
keys = st.none() | atoms | st.binary(max_size=6) | st.integers(2)
raw_terms: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, floats, st.binary(max_size=20), atoms),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.lists(st.integers(0, 255), max_size=300),
        st.dictionaries(keys, inner, max_size=5),
    ),
    max_leaves=20,
)
friendly_terms: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, floats, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(texts, inner, max_size=5),
    ),
    max_leaves=20,
)


def term(*body: int | bytes) -> bytes:
    """The version byte, and these bytes."""
    return b"\x83" + b"".join(bytes([part]) if isinstance(part, int) else part for part in body)


def compressed(body: bytes, size: int | None = None) -> bytes:
    """A term as `term_to_binary(Term, [compressed])` writes it; its size field may be wrong."""
    length = (len(body) if size is None else size).to_bytes(4)
    return term(80, length, zlib.compress(body))
