"""The trace that a task belongs to."""

from __future__ import annotations

import pytest

from phoenix_compat.tasks.model.trace_context import traceparent_or_none

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("version", ["00", "01", "fe"])
def test_a_valid_header_is_used(version: str) -> None:
    """Also one of a later version."""
    assert traceparent_or_none(version + VALID[2:]) == version + VALID[2:]


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        VALID.upper(),
        VALID + "\n",
        VALID + "-more",
        "ff" + VALID[2:],
        VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        VALID.replace("00f067aa0ba902b7", "0" * 16),
    ],
)
def test_anything_else_is_none(value: object) -> None:
    """The task goes on without a trace."""
    assert traceparent_or_none(value) is None
