"""Shows what was ordered and what may be: the caps of owners and of all, and who has used them.

In the process that has the database.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from phoenix_compat.bounded import plain
from phoenix_compat.tasks.model.caps import MICRODOLLARS_PER_USD, Cap, Period
from phoenix_compat.tasks.model.clock import Clock, wire_time
from phoenix_compat.tasks.store.spending import ALL, Spent
from phoenix_compat.tasks.store.task_store import TaskStore

MAX_OWNERS: Final = 100
"""How many owners are listed; who looks for another one searches for it."""


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered in a period, beside its limits.

    Attributes:
        tasks, usd: None if the sum cannot be read; it counts as used up.
        max_tasks, max_usd: None for no limit.
    """

    tasks: int | None
    usd: float | None
    max_tasks: int | None
    max_usd: float | None


class OwnerUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one owner has ordered, beside the limits for each owner."""

    owner: str
    day: Used
    month: Used


class LimitsView(msgspec.Struct, frozen=True, kw_only=True):
    """All limits.

    Attributes:
        day, month: the UTC day and month that is counted now.
        day_ends_at, month_ends_at: when the next one begins.
        total_day, total_month: all owners together.
        owners: those that ordered most this month.
        refused: orders that a cap has refused since the start of the process.
    """

    day: str
    month: str
    day_ends_at: str
    month_ends_at: str
    total_day: Used
    total_month: Used
    owners: list[OwnerUse]
    refused: int


class LimitsStatus:
    """The limits and what is used of them."""

    def __init__(self, store: TaskStore, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or store.clock

    async def view(self, text: str = "") -> LimitsView:
        """What was ordered today and this month.

        Args:
            text: only owners that contain it.

        Raises:
            StoreUnavailableError: the database cannot be read.
        """
        now = self._clock.now()
        day, month = Period.DAY.name_at(now), Period.MONTH.name_at(now)
        owners = await self._store.largest_spending(day, MAX_OWNERS, text)
        return LimitsView(
            day=day,
            month=month,
            day_ends_at=_end(Period.DAY, now),
            month_ends_at=_end(Period.MONTH, now),
            total_day=self._used(await self._store.spending(day, ALL), Period.DAY, is_total=True),
            total_month=self._used(
                await self._store.spending(month, ALL), Period.MONTH, is_total=True
            ),
            owners=[
                OwnerUse(
                    owner=plain(owner),
                    day=self._used(of_day, Period.DAY),
                    month=self._used(of_month, Period.MONTH),
                )
                for owner, of_day, of_month in owners
            ],
            refused=self._store.budget.refused,
        )

    def _used(self, spent: Spent | None, period: Period, *, is_total: bool = False) -> Used:
        cap = next(
            (
                cap
                for cap in self._store.budget.limited
                if cap.is_total is is_total and cap.period is period
            ),
            None,
        )
        return Used(
            tasks=None if spent is None else spent.tasks,
            usd=None if spent is None else spent.microdollars / MICRODOLLARS_PER_USD,
            max_tasks=None if cap is None else cap.limits.tasks,
            max_usd=_max_usd(cap),
        )


def _max_usd(cap: Cap | None) -> float | None:
    if cap is None or cap.limits.microdollars is None:
        return None
    return cap.limits.microdollars / MICRODOLLARS_PER_USD


def _end(period: Period, now: datetime) -> str:
    return wire_time(period.end_after(now))
