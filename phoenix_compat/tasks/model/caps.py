"""Caps: the most that may be ordered in a UTC day or month, by one owner and by all together.

Money is counted in micro-dollars, as whole numbers, so that sums are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

MICRODOLLARS_PER_USD: Final = 1_000_000


class Period(StrEnum):
    """What a cap counts over."""

    DAY = "day"
    MONTH = "month"

    def name_at(self, at: datetime) -> str:
        """The period that contains a time: "2026-01-05" or "2026-01"."""
        day = at.astimezone(UTC).date().isoformat()
        return day if self is Period.DAY else day[:7]

    def end_after(self, at: datetime) -> datetime:
        """When the period that contains a time ends, and the next one begins."""
        midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Period.DAY:
            return midnight + timedelta(days=1)
        # 32 days after the first of a month is always in the next month.
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that may be ordered in one period; None means that there is no limit."""

    microdollars: int | None = None
    tasks: int | None = None


class Cap(NamedTuple):
    """The limits of one period, for one owner or for all owners together."""

    is_total: bool
    period: Period
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """All caps of a server: for each owner, and for all owners together."""

    owner_per_day: Limits = field(default_factory=Limits)
    owner_per_month: Limits = field(default_factory=Limits)
    total_per_day: Limits = field(default_factory=Limits)
    total_per_month: Limits = field(default_factory=Limits)

    @property
    def limited(self) -> tuple[Cap, ...]:
        """Those that limit anything: an owner's own before those for all, months before days.

        When several are reached, the first of them is the one to tell a client: that a day ends
        does not help while the month's cap is reached.
        """
        caps = (
            Cap(is_total=False, period=Period.MONTH, limits=self.owner_per_month),
            Cap(is_total=False, period=Period.DAY, limits=self.owner_per_day),
            Cap(is_total=True, period=Period.MONTH, limits=self.total_per_month),
            Cap(is_total=True, period=Period.DAY, limits=self.total_per_day),
        )
        return tuple(cap for cap in caps if cap.limits != Limits())

    @property
    def has_usd(self) -> bool:
        """Whether any of them limits money."""
        return any(cap.limits.microdollars is not None for cap in self.limited)


def cost_microdollars(usd: float | None) -> int:
    """An estimated cost, rounded up; 0 when it is unknown."""
    # Round first, because 0.02 * 1e6 and the like are not exact in floats.
    return 0 if usd is None else math.ceil(round(usd * MICRODOLLARS_PER_USD, 3))


def limit_microdollars(usd: float | None) -> int | None:
    """A cap in US dollars, rounded down; None stays None."""
    return None if usd is None else math.floor(round(usd * MICRODOLLARS_PER_USD, 3))


def usd_text(microdollars: int) -> str:
    """An amount for people: "5.00", "0.003"."""
    dollars, rest = divmod(microdollars, MICRODOLLARS_PER_USD)
    return f"{dollars}.{f'{rest:06}'.rstrip('0'):0<2}"
