"""The channel for a topic: docs/protocol.md §4.1."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.errors import ChannelDefinitionError
from phoenix_compat.protocol.topic import TopicRoutes
from tests.unit.protocol.strategies import steady


@pytest.mark.parametrize(
    ("topic", "expected"),
    [("food:1", 1), ("foo:1", 2), ("foo", 2), ("food", 1), ("unknown", None), ("", None)],
)
def test_the_first_declared_wins(topic: str, expected: int | None) -> None:
    """72: routes are tried in the order of their declaration."""
    routes = TopicRoutes([("food*", 1), ("foo*", 2), ("food:1", 3)])

    assert expected == routes.match(topic)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("room:*", ["room:1", "room:", "room:*", "room:a:b"], ["room", "ROOM:1", "aroom:1"]),
        ("room:lobby", ["room:lobby"], ["room:lobby2", "room:", "Room:lobby", "room:*"]),
        ("foo*", ["foo", "food", "foo*"], ["fo", "Foo"]),
        ("*", ["", "anything", "*"], []),
        ("", [""], ["a"]),
        ("r.*", ["r.", "r.x"], ["room", "rx"]),
        ("é*", ["é:1"], ["e:1"]),
    ],
)
def test_a_star_is_a_prefix(pattern: str, matching: list[str], others: list[str]) -> None:
    """`*` matches any rest, even an empty one; everything else matches only itself."""
    routes = TopicRoutes([(pattern, "found")])

    assert [routes.match(topic) for topic in matching] == ["found"] * len(matching)
    assert [routes.match(topic) for topic in others] == [None] * len(others)


@pytest.mark.parametrize("pattern", ["room:*:x", "*:x", "**", "a*b*"])
def test_a_star_is_allowed_only_at_the_end(pattern: str) -> None:
    """A pattern with a star elsewhere is an error at once."""
    with pytest.raises(ChannelDefinitionError, match="only at the end"):
        TopicRoutes([(pattern, 1)])


@pytest.mark.parametrize("topic", [None, 1, True, ["room:1"], {"a": 1}, b"room:1"])
def test_topics_that_are_not_strings_match_nothing(topic: Any) -> None:
    """A client may send any JSON as a topic; only strings have channels."""
    assert TopicRoutes([("*", 1)]).match(topic) is None


@given(
    st.lists(st.tuples(st.text("ab:", max_size=3), st.booleans()), max_size=5),
    st.text("ab:", max_size=4),
)
@steady
def test_routes_agree_with_a_plain_search(patterns: list[tuple[str, bool]], topic: str) -> None:
    """The result is the first equal pattern, or the first prefix pattern."""
    routes = TopicRoutes(
        (text + "*" * is_prefix, place) for place, (text, is_prefix) in enumerate(patterns)
    )
    serving = [
        place
        for place, (text, is_prefix) in enumerate(patterns)
        if topic == text or (is_prefix and topic[: len(text)] == text)
    ]

    assert (serving[0] if serving else None) == routes.match(topic)
