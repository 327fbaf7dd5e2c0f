"""Normalisation of outputs of all shapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.results.output import MAX_FILES, MAX_TEXT_BYTES, normalise_output

A = "https://replicate.delivery/a.jpg"
B = "https://replicate.delivery/b.jpg"


@pytest.mark.parametrize(
    ("raw", "urls", "text", "inline_files"),
    [
        (None, (), "", 0),
        ("", (), "", 0),
        ([], (), "", 0),
        ({}, (), "", 0),
        (42, (), "42", 0),
        (A, (A,), A, 0),
        ([A, B], (A, B), A + B, 0),
        ([A, A], (A,), A + A, 0),
        ([[A], [[B]]], (A, B), "", 0),
        ({"image": A, "parts": {"mask": B}}, (A, B), "", 0),
        ([None, A, 3], (A,), f"{A}3", 0),
        (["Once ", "upon"], (), "Once upon", 0),
        ("see https://x.example for more", (), "see https://x.example for more", 0),
        ("data:image/png;base64,AAAA", (), "data:image/png;base64,AAAA", 1),
        (["data:image/png;base64,AAAA", A], (A,), f"data:image/png;base64,AAAA{A}", 1),
        ("file:///etc/passwd", (), "file:///etc/passwd", 0),
    ],
)
def test_every_shape_is_normalised(
    raw: object, urls: tuple[str, ...], text: str, inline_files: int
) -> None:
    """C4, C11: strings, lists, objects and chunks become URLs and a text that keeps everything."""
    output = normalise_output(raw)

    assert (output.urls, output.text, output.inline_files) == (urls, text, inline_files)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ({"label": "cat", "score": 0.98}, {"label": "cat", "score": 0.98}),
        ({"picture": "data:image/png;base64,AAAA", "n": 1}, {"picture": None, "n": 1}),
        (["a", "data:x"], ["a", None]),
        (7, 7),
    ],
)
def test_the_value_is_kept_without_inline_files(raw: object, value: object) -> None:
    """C4: what a model answered is kept as it came."""
    output = normalise_output(raw)

    assert output.value == value
    assert not output.is_truncated


def test_the_number_of_files_is_limited() -> None:
    """An output with many files is cut to MAX_FILES."""
    output = normalise_output([f"https://x.example/{number}" for number in range(5_000)])

    assert len(output.urls) == MAX_FILES


def test_a_text_of_many_chunks_is_whole() -> None:
    """C3: the number of chunks does not matter."""
    output = normalise_output(["word "] * 2_500)

    assert output.text == "word " * 2_500
    assert not output.is_truncated


def test_a_text_that_is_too_long_says_so() -> None:
    """C3: it is cut between two characters, and the output tells it."""
    output = normalise_output(["é"] * MAX_TEXT_BYTES)

    assert output.text == "é" * (MAX_TEXT_BYTES // 2)
    assert (output.is_truncated, output.value) == (True, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.just(A),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_any_json_can_be_an_output(raw: object) -> None:
    """No JSON makes it raise, and no data: URL is returned."""
    output = normalise_output(raw)

    assert not any(url.startswith("data:") for url in output.urls)
