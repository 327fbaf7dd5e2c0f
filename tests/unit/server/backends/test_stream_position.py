"""What the id of an event says about what its client has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.server.backends.stream_position import Position

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@given(TEXTS, TEXTS)
def test_a_text_goes_on_where_the_client_is(begin: str, end: str) -> None:
    """Also after characters that are two code units, and over the id as text."""
    position = Position.of(Position().with_text(0, begin).event_id)

    start, part = position.missing(begin + end)

    assert (start, part) == (len(begin.encode("utf-16-le")) // 2, end)
    assert position.with_text(start, part) == Position().with_text(0, begin + end)


@given(TEXTS, TEXTS)
def test_another_text_comes_whole(mine: str, present: str) -> None:
    """Unless it begins with what the client has."""
    start, part = Position().with_text(0, mine).missing(present)

    if present.startswith(mine):
        assert mine + part == present
    else:
        assert (start, part) == (0, present)


@pytest.mark.parametrize(
    "text", ["", "17", "nonsense", "00000000-1-zzzzzzzz", "-0-", "00000000-9999999999-00000000"]
)
def test_a_text_that_is_no_id_stands_for_nothing(text: str) -> None:
    """Clients may send anything."""
    assert Position.of(text) == Position()
