"""Parsing `Prefer` and `Cancel-After`."""

from __future__ import annotations

import pytest

from phoenix_compat.emulator.predictions.request_header import cancel_after_seconds, wait_seconds
from phoenix_compat.emulator.problem import ProblemError


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [(None, None), ("wait", 60), ("wait=1", 1), ("wait=60", 60), ("respond-async", None)],
)
def test_prefer_says_how_long_to_wait(prefer: str | None, seconds: int | None) -> None:
    """`wait` alone is 60 s; other preferences are ignored."""
    assert wait_seconds(prefer) == seconds


@pytest.mark.parametrize("prefer", ["wait=0", "wait=61"])
def test_a_wait_out_of_range_is_refused(prefer: str) -> None:
    """The wait must be between 1 and 60 seconds."""
    with pytest.raises(ProblemError, match="422"):
        wait_seconds(prefer)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("30", 30), ("30s", 30), ("5m", 300), ("1h30m45s", 5445), ("2h", 7200)],
)
def test_cancel_after_is_a_duration(value: str | None, seconds: int | None) -> None:
    """Seconds with or without unit, and hours, minutes and seconds combined."""
    assert cancel_after_seconds(value) == seconds


@pytest.mark.parametrize("value", ["", "4s", "soon", "1.5m", "-10s", "5s5m"])
def test_invalid_durations_are_refused(value: str) -> None:
    """Durations below 5 s and other texts give 422."""
    with pytest.raises(ProblemError, match="422"):
        cancel_after_seconds(value)
