"""Normalisation of outputs of all shapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.output import MAX_PARTS, Output, normalise_output

A = "https://replicate.delivery/a.jpg"
B = "https://replicate.delivery/b.jpg"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, Output()),
        ("", Output()),
        ([], Output()),
        ({}, Output()),
        (42, Output()),
        (A, Output((A,))),
        ([A, B], Output((A, B))),
        ([A, A], Output((A,))),
        ([[A], [[B]]], Output((A, B))),
        ({"image": A, "parts": {"mask": B}}, Output((A, B))),
        ([None, A, 3], Output((A,))),
        (["Once ", "upon"], Output((), "Once upon")),
        ("see https://x.example for more", Output((), "see https://x.example for more")),
        ("data:image/png;base64,AAAA", Output((), "", 1)),
        (["data:image/png;base64,AAAA", A], Output((A,), "", 1)),
        ("file:///etc/passwd", Output((), "file:///etc/passwd")),
    ],
)
def test_every_shape_is_normalised(raw: object, expected: Output) -> None:
    """Strings, lists, nested lists, objects and text chunks become an Output."""
    assert normalise_output(raw) == expected


def test_the_number_of_parts_is_limited() -> None:
    """An output with many parts is cut to MAX_PARTS."""
    output = normalise_output([f"https://x.example/{number}" for number in range(5_000)])

    assert len(output.urls) == MAX_PARTS


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.just(A),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_any_json_can_be_an_output(raw: object) -> None:
    """No JSON makes it raise, and no data: URL is returned."""
    output = normalise_output(raw)

    assert not any(url.startswith("data:") for url in output.urls)
