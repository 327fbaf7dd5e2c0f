"""Counts what is ordered in each UTC day and month, and refuses what would pass a cap.

An order is counted in the transaction that stores the task, so a crash cannot separate the two. The
cost of a create that cannot have been billed is taken back from the day and the month in which it
was counted. The number of tasks is never taken back: it says how often somebody ordered.

A sum that cannot be read (a negative number, a text) counts as used up, because anything else would
open the cap. It is logged and left as it is.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog

from phoenix_compat.tasks.model.caps import Cap, Caps, Period, cost_microdollars
from phoenix_compat.tasks.model.errors import BudgetError, CapReachedError, QuotaReachedError
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.database import Row, Transaction
from phoenix_compat.tasks.store.statements import queries

ALL: Final = "all"
"""The subject of the sums over all owners."""
KEEP_DAYS: Final = 62
KEEP_MONTHS: Final = 24
MAX_PRUNED: Final = 500
"""The most rows that one transaction deletes."""

_SUMMED: Final = ("tasks", "microdollars")
_MAX_SUM: Final = 2**62
_MAX_REMEMBERED: Final = 100
_MAX_BOUNDS: Final = 10_000
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

log = structlog.stdlib.get_logger(__name__)


class _Order(NamedTuple):
    tasks: int
    microdollars: int
    is_unpriced: bool


class Spent(NamedTuple):
    """What was ordered in a period."""

    tasks: int
    microdollars: int

    def without(self, order: _Order) -> Spent:
        """The same before an order."""
        return Spent(self.tasks - order.tasks, self.microdollars - order.microdollars)


def subject_of(owner: str) -> str:
    """The subject of an owner's sums."""
    return f"owner:{owner}"


def owner_of(subject: str) -> str:
    """The owner of such a subject."""
    return subject.removeprefix(subject_of(""))


class Spending:
    """The sums of all periods. Used inside transactions only.

    It remembers upper bounds of the sums, so that most orders read none. A transaction that is
    rolled back, and a cost that is taken back, leave a bound too high, which costs one extra read.
    On a shared database it remembers none: an order is added first, which locks the sums until the
    commit, and refused if they then are above a cap.

    Attributes:
        refused: how many orders and repeats a cap has refused since the start.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._limited = Caps().limited
        self._pruned_on = ""
        self._bounds: OrderedDict[tuple[str, str], Spent] = OrderedDict()
        self._reported: OrderedDict[tuple[str, str], None] = OrderedDict()

    @property
    def limited(self) -> tuple[Cap, ...]:
        """The caps that apply; those without limits are left out."""
        return self._limited

    def set_caps(self, caps: Caps) -> None:
        """Apply these caps from the next order on; from any thread."""
        self._limited = caps.limited

    async def reserve(
        self,
        transaction: Transaction,
        owner: str,
        cost_usd: float | None,
        at: datetime,
        *,
        tasks: int = 1,
    ) -> None:
        """Count a create that is going to be sent.

        Args:
            cost_usd: None for a model whose price is unknown: it counts nothing, and is refused
                only when the money is used up.
            tasks: 0 for a further create of a task that was counted.

        Raises:
            CapReachedError: the cost would pass a cap; nothing was counted.
            QuotaReachedError: the number of tasks would pass a cap; nothing was counted.
        """
        order = _Order(tasks, cost_microdollars(cost_usd), is_unpriced=cost_usd is None)
        day = Period.DAY.name_at(at)
        month, subject = day[:7], subject_of(owner)
        values = {
            "day": day,
            "month": month,
            "owner": subject,
            "tasks": order.tasks,
            "microdollars": order.microdollars,
        }
        if transaction.is_shared and self._limited:
            await transaction.execute(queries.ADD_SPENT, values)
        for cap in self._limited:
            key = (
                day if cap.period is Period.DAY else month,
                ALL if cap.is_total else subject,
            )
            error = await self._passed(transaction, key, cap, order, at)
            if error is not None:
                self.refused += 1
                raise error
        if not (transaction.is_shared and self._limited):
            await transaction.later(queries.ADD_SPENT, values, _SUMMED)
        if self._pruned_on != day:
            await self._prune(transaction, at)

    async def follow(
        self, transaction: Transaction, before: Task, moved: Task, at: datetime
    ) -> None:
        """Count what the move of a stored task changes.

        `attempts` tells whether the last create may have been billed: a move that takes one back
        says that it certainly made no prediction.

        Raises:
            CapReachedError: one more create would pass a cap; nothing was counted.
        """
        is_unbilled = before.status is TaskStatus.QUEUED or moved.attempts < before.attempts
        if moved.status is TaskStatus.FAILED:
            if is_unbilled:
                await self._release(transaction, before)
        elif moved.status is TaskStatus.QUEUED:
            if not is_unbilled:
                await self.reserve_again(transaction, moved, at, tasks=0)
            elif moved.estimated_cost_usd != before.estimated_cost_usd:
                await self._release(transaction, before)
                await self.reserve_again(transaction, moved, at, tasks=0)

    async def reserve_again(
        self, transaction: Transaction, task: Task, at: datetime, *, tasks: int
    ) -> None:
        """Count one more create of a stored task.

        Raises:
            CapReachedError, QuotaReachedError: a cap would be passed; nothing was counted.
        """
        owner, reserved, _ = await _reserved(transaction, task)
        await self.reserve(transaction, owner, task.estimated_cost_usd, at, tasks=tasks)
        cost = cost_microdollars(task.estimated_cost_usd)
        values = (reserved + cost, Period.DAY.name_at(at), task.id)
        await transaction.execute(queries.SET_RESERVED, values)

    async def _release(self, transaction: Transaction, task: Task) -> None:
        """Take back the cost of a task's last create."""
        owner, reserved, day = await _reserved(transaction, task)
        cost = min(cost_microdollars(task.estimated_cost_usd), reserved)
        if cost == 0 or day is None:
            return
        values = {"day": day, "month": day[:7], "owner": subject_of(owner), "microdollars": cost}
        await transaction.execute(queries.RELEASE_SPENT, values)
        await transaction.execute(queries.SET_RESERVED, (reserved - cost, day, task.id))

    async def _passed(
        self,
        transaction: Transaction,
        key: tuple[str, str],
        cap: Cap,
        order: _Order,
        at: datetime,
    ) -> BudgetError | None:
        """The error for an order that would pass a cap; reads the sum only if it may do so."""
        if transaction.is_shared:
            spent = await self._spent(transaction, key)
            return _refusal(None if spent is None else spent.without(order), cap, order, at)
        bound = self._bounds.get(key)
        if bound is None or _refusal(bound, cap, order, at) is not None:
            bound = await self._spent(transaction, key)
            if (error := _refusal(bound, cap, order, at)) is not None:
                return error
        if bound is not None:
            self._bounds[key] = Spent(
                bound.tasks + order.tasks, bound.microdollars + order.microdollars
            )
            if len(self._bounds) > _MAX_BOUNDS:
                self._bounds.popitem(last=False)
        return None

    async def _spent(self, transaction: Transaction, key: tuple[str, str]) -> Spent | None:
        """The stored sums; None if they cannot be read."""
        for row in await transaction.rows(queries.GET_SPENT, key):
            spent = read_spent(row)
            if spent is None:
                self._report(*key)
            return spent
        return Spent(0, 0)

    def _report(self, period: str, subject: str) -> None:
        """Log a row that cannot be read: once, and without the owner, who may be a person."""
        if (period, subject) in self._reported:
            return
        self._reported[period, subject] = None
        if len(self._reported) > _MAX_REMEMBERED:
            self._reported.popitem(last=False)
        of = ALL if subject == ALL else "owner"
        log.error("spending.unreadable", period=period, subject=of, counts_as="used up")

    async def _prune(self, transaction: Transaction, at: datetime) -> None:
        """Delete the sums of old periods, a limited number at a time; once a day."""
        values = {
            "day": Period.DAY.name_at(at - timedelta(days=KEEP_DAYS)),
            "month": Period.MONTH.name_at(at - timedelta(days=KEEP_MONTHS * 31)),
            "limit": MAX_PRUNED,
        }
        if await transaction.execute(queries.PRUNE_SPENT, values) < MAX_PRUNED:
            self._pruned_on = Period.DAY.name_at(at)


def _refusal(spent: Spent | None, cap: Cap, order: _Order, at: datetime) -> BudgetError | None:
    """The error for an order that would pass a cap."""
    if cap.limits.microdollars is not None:
        left = 0 if spent is None else max(cap.limits.microdollars - spent.microdollars, 0)
        if order.microdollars > left or (left == 0 and (spent is None or order.is_unpriced)):
            return CapReachedError(cap, cap.limits.microdollars, order.microdollars, at)
    if cap.limits.tasks is not None:
        left = 0 if spent is None else max(cap.limits.tasks - spent.tasks, 0)
        if order.tasks > left:
            return QuotaReachedError(cap, cap.limits.tasks, at)
    return None


def read_spent(row: Row, prefix: str = "") -> Spent | None:
    """The sums of a row; None if it cannot be read.

    Args:
        prefix: what the names of the columns begin with.
    """
    tasks, microdollars = row[f"{prefix}tasks"], row[f"{prefix}microdollars"]
    return Spent(tasks, microdollars) if _is_sum(tasks) and _is_sum(microdollars) else None


def _is_sum(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < _MAX_SUM


async def _reserved(transaction: Transaction, task: Task) -> tuple[str, int, str | None]:
    """A task's owner, what is counted for it, and the day on which that was counted."""
    for row in await transaction.rows(queries.RESERVED, (task.id,)):
        owner, reserved, day = row
        return (
            owner if isinstance(owner, str) else "",
            reserved if _is_sum(reserved) else 0,
            day if isinstance(day, str) and _DAY.fullmatch(day) else None,
        )
    return "", 0, None
