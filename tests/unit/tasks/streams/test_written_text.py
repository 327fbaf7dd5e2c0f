"""The text so far, from parts and from whole texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.results.output import MAX_TEXT_BYTES, normalise_output
from phoenix_compat.tasks.streams.written_text import WrittenText, utf16_units


def written(*parts: str) -> WrittenText:
    """A text of these parts."""
    text = WrittenText("p-1")
    for part in parts:
        assert text.write(text.chars, part)
    return text


def test_parts_make_a_text() -> None:
    """They are joined without a separator, and counted in characters, bytes and UTF-16 units."""
    text = written("Once", " \u00e4", "", "\U0001f9d1")

    assert text.text == "Once \u00e4\U0001f9d1"
    assert (text.chars, text.units, text.size_bytes) == (7, 8, 11)
    assert [text.since(chars) for chars in range(8)] == [text.text[at:] for at in range(8)]
    assert [text.since(chars) for chars in (0, 4, 6, 7)] == [
        "Once \u00e4\U0001f9d1",
        " \u00e4\U0001f9d1",
        "\U0001f9d1",
        "",
    ]


def test_a_part_that_comes_again_changes_nothing() -> None:
    """Whole, in other pieces, and with something new at its end."""
    text = written("Once", " upon")

    assert text.write(0, "On")
    assert text.write(2, "ce u")
    assert text.write(4, " upon a")

    assert text.text == "Once upon a"
    assert text.version == 0


def test_a_part_that_does_not_fit_is_refused() -> None:
    """Characters before it are missing, or others are in its place; the text stays."""
    text = written("Once", " upon")

    assert not text.write(10, "x")
    assert not text.write(4, " in")

    assert text.text == "Once upon"


def test_a_whole_text_is_taken_over() -> None:
    """It may be ahead or behind; if it differs, it replaces the text."""
    text = written("Once upon")

    assert text.correct("Once")
    assert text.correct("Once upon a time")
    assert (text.text, text.version) == ("Once upon a time", 0)

    assert not text.correct("Twice")
    assert (text.text, text.version, text.chars, text.units) == ("Twice", 1, 5, 5)

    assert not text.correct("Twi", is_final=True)
    assert (text.text, text.version) == ("Twi", 2)


def test_a_long_text_ends_where_results_end() -> None:
    """The text is the one of the result, and nothing is added after the limit."""
    chunks = ["\u00e4" * 1_000] * 140

    text = written(*chunks)

    assert text.text == normalise_output(chunks).text
    assert text.is_full
    assert text.size_bytes == MAX_TEXT_BYTES
    assert text.write(10**9, "more")
    assert text.correct(normalise_output(chunks).text, is_final=True)


def test_a_character_that_does_not_fit_is_left_out() -> None:
    """The limit does not split a character."""
    text = written("x" * (MAX_TEXT_BYTES - 1), "\u00e4", "y")

    assert text.text == normalise_output(["x" * (MAX_TEXT_BYTES - 1), "\u00e4", "y"]).text
    assert text.is_full


@given(
    whole=st.text(max_size=60),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(0, 60))),
)
def test_parts_of_one_text_never_make_another(
    whole: str, steps: list[tuple[bool, int, int]]
) -> None:
    """Whatever comes in whatever order, it is a beginning of the whole, and at last the whole."""
    text = WrittenText("p-1")

    for is_part, start, end in steps:
        if is_part:
            text.write(start, whole[start:end])
        else:
            assert text.correct(whole[:end])
        assert whole.startswith(text.text)
        assert text.chars == len(text.text)
        assert text.units == utf16_units(text.text)

    assert text.correct(whole, is_final=True)
    assert text.text == whole
