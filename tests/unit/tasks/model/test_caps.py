"""Periods of caps, and money as whole numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.tasks.model.caps import (
    Caps,
    Limits,
    Period,
    cost_microdollars,
    limit_microdollars,
    usd_text,
)


@pytest.mark.parametrize(
    ("at", "day_ends", "month_ends"),
    [
        (datetime(2026, 1, 5, 10, 30, tzinfo=UTC), (2026, 1, 6), (2026, 2, 1)),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), (2027, 1, 1), (2027, 1, 1)),
        (datetime(2028, 2, 29, tzinfo=UTC), (2028, 3, 1), (2028, 3, 1)),
        # In UTC it is already the next day.
        (
            datetime(2026, 1, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
            (2026, 2, 2),
            (2026, 3, 1),
        ),
    ],
)
def test_a_period_ends_at_midnight_utc(
    at: datetime, day_ends: tuple[int, int, int], month_ends: tuple[int, int, int]
) -> None:
    """Days and months are those of UTC."""
    assert Period.DAY.end_after(at) == datetime(*day_ends, tzinfo=UTC)
    assert Period.MONTH.end_after(at) == datetime(*month_ends, tzinfo=UTC)
    assert Period.DAY.name_at(at) == at.astimezone(UTC).strftime("%Y-%m-%d")
    assert Period.MONTH.name_at(at) == at.astimezone(UTC).strftime("%Y-%m")


@given(st.integers(0, 10**12))
def test_prices_are_exact_in_microdollars(microdollars: int) -> None:
    """A price with six decimals becomes its exact number of micro-dollars, despite floats."""
    assert cost_microdollars(round(microdollars / 1e6, 6)) == microdollars
    assert limit_microdollars(round(microdollars / 1e6, 6)) == microdollars


def test_smaller_amounts_are_rounded_to_the_safe_side() -> None:
    """A part of a micro-dollar counts as a whole one of a cost, and as nothing of a cap."""
    assert cost_microdollars(0.000_000_4) == 1
    assert limit_microdollars(0.000_000_4) == 0
    assert cost_microdollars(None) == 0
    assert limit_microdollars(None) is None


@pytest.mark.parametrize(
    ("microdollars", "text"),
    [(5_000_000, "5.00"), (20_000, "0.02"), (3_000, "0.003"), (0, "0.00"), (1, "0.000001")],
)
def test_amounts_are_shown_with_the_decimals_they_need(microdollars: int, text: str) -> None:
    """At least cents, and as many decimals as there are."""
    assert usd_text(microdollars) == text


def test_only_caps_that_limit_anything_are_checked() -> None:
    """An owner's caps come first, and a month before a day."""
    caps = Caps(
        total_per_day=Limits(tasks=1),
        owner_per_day=Limits(tasks=2),
        owner_per_month=Limits(microdollars=3),
    )

    assert [cap.limits for cap in caps.limited] == [
        Limits(microdollars=3),
        Limits(tasks=2),
        Limits(tasks=1),
    ]
    assert caps.has_usd
    assert not Caps(total_per_day=Limits(tasks=1)).has_usd
    assert Caps().limited == ()
