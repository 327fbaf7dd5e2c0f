"""Untrusted values, made short and safe."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat.bounded import MAX_NESTING, bounded_copy, brief, escaped, is_too_deep, plain
from phoenix_compat.channel import Channel, UnhandledEventError
from phoenix_compat.errors import CallbackError
from phoenix_compat.presence.tracker import cast


def nested(levels: int, *, is_map: bool = False) -> Any:
    """A value with `levels` levels."""
    value: Any = {} if is_map else []
    for _ in range(levels - 1):
        value = {"a": value} if is_map else [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, "x"]}, "{'a': [1, None, 'x']}"),
        ("a\n\x1b[2J", r"'a\n\x1b[2J'"),
        ("x" * 500, "'" + "x" * 200 + "…'"),
        (10**80, "'…'"),
        (nested(900), "[[[[[[[[['…']]]]]]]]]"),
        ((1, 2), "[1, 2]"),
    ],
)
def test_brief_values(value: Any, expected: str) -> None:
    """A value is shown as by `repr`, but shortened."""
    assert brief(value) == expected


def test_an_object_that_cannot_be_shown() -> None:
    """Neither its class nor its content can break a log line."""

    class Odd:
        def __repr__(self) -> str:
            raise ValueError("no")

    assert brief(Odd()) == "<Odd>"
    assert brief(ValueError(nested(200_000))) == "<ValueError>"


@pytest.mark.parametrize(
    "letter", ["\x00", "\n", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\ud800"]
)
def test_control_characters_are_escaped(letter: str) -> None:
    """Control characters, line ends, changes of direction and lone surrogates are escaped."""
    assert escaped(f"a{letter}é").isprintable()
    assert plain(f"a{letter}é").isprintable()
    assert escaped("naïve 🙂 日本") == "naïve 🙂 日本"


def test_a_copy_is_bounded_in_all() -> None:
    """The limits are for the whole value, not for each list."""
    value = [["x" * 100] * 100] * 100

    assert len(repr(bounded_copy(value))) < 1_500


@pytest.mark.parametrize("is_map", [False, True])
def test_the_depth_of_json(is_map: bool) -> None:
    """The limit itself is allowed, one level more is not; a scalar has no level."""
    assert not is_too_deep(nested(MAX_NESTING, is_map=is_map))
    assert is_too_deep(nested(MAX_NESTING + 1, is_map=is_map))
    assert is_too_deep(nested(50_000, is_map=is_map))
    assert not is_too_deep([1, {"a": [None]}], 3)
    assert is_too_deep([1, {"a": [None]}], 2)
    assert not is_too_deep("x", 0)


@pytest.mark.parametrize("value", [nested(900), nested(900, is_map=True), "x" * 100_000])
def test_errors_quote_in_brief(value: Any) -> None:
    """Errors quote little of what a client sent, and never fail themselves."""
    with pytest.raises(UnhandledEventError) as unhandled:
        Channel().handle_in(value, {}, None)  # type: ignore[arg-type] # is not looked at

    assert len(str(unhandled.value)) < 400
    assert len(str(CallbackError("join", value, "ok(...)"))) < 400
    if not isinstance(value, str):
        with pytest.raises(Exception, match="presence key") as refused:
            cast(value)
        assert len(str(refused.value)) < 400
