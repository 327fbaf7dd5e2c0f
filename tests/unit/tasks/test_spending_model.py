"""Whatever happens to tasks, what is counted is what a simple model in Python says."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from hypothesis import event, given, settings
from hypothesis import strategies as st

from phoenix_compat.tasks.model.caps import Caps, Limits, Period
from phoenix_compat.tasks.model.errors import BudgetError
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.model.task_types import TaskParams, determine_task_params
from phoenix_compat.tasks.store.database import Database, Work
from phoenix_compat.tasks.store.spending import ALL, subject_of
from phoenix_compat.tasks.store.sqlite.transaction import SQLiteTransaction, run
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.worker_harness import SCHEMA

T = TypeVar("T")
QUEUED, SUBMITTING, RUNNING = TaskStatus.QUEUED, TaskStatus.SUBMITTING, TaskStatus.RUNNING
COMPLETED, FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED

PRICES: dict[str, int | None] = {
    "google/imagen-4-fast": 20_000,
    "google/imagen-4": 40_000,
    "black-forest-labs/flux-schnell": 3_000,
    "you/unpriced": None,
}
"""Models and their prices in micro-dollars."""


def params_of(model: str) -> TaskParams:
    return determine_task_params({"type": "image", "prompt": "monk", "model": model})


class SharedTransaction(SQLiteTransaction):
    """A transaction of a database that other nodes write too."""

    __slots__ = ()

    is_shared = True


class MemoryDatabase:
    """A database in memory, with the same savepoints as the real one."""

    def __init__(
        self, connection: sqlite3.Connection, transaction: type[SQLiteTransaction]
    ) -> None:
        self._connection = connection
        self._transaction = transaction
        connection.row_factory = sqlite3.Row
        connection.executescript(SCHEMA)

    async def write(self, work: Work[T]) -> T:
        """Run a write; an error rolls it back."""
        return await asyncio.to_thread(self._write, work)

    def _write(self, work: Work[T]) -> T:
        self._connection.execute("SAVEPOINT one")
        try:
            return run(work, self._transaction(self._connection))
        except BaseException:
            self._connection.execute("ROLLBACK TO one")
            raise
        finally:
            self._connection.execute("RELEASE one")

    async def read(self, sql: str, values: Any = ()) -> Sequence[sqlite3.Row]:
        """The rows of a query."""
        return await asyncio.to_thread(lambda: self._connection.execute(sql, values).fetchall())


class Days:
    """A clock that counts in days."""

    def __init__(self) -> None:
        self.today = datetime(2026, 1, 29, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """Noon of a day."""
        return self.today

    def monotonic(self) -> float:
        """See `Clock`."""
        return 0.0

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """See `Clock`."""
        raise AssertionError((event, timeout_s))


@dataclass
class Order:
    """A task of the model: what its last create costs, and the day on which that was counted."""

    task: Task
    owner: str
    model: str
    day: datetime


@dataclass
class Model:
    """What should be counted."""

    caps: Caps
    money: Counter[tuple[str, str]] = field(default_factory=Counter)
    tasks: Counter[tuple[str, str]] = field(default_factory=Counter)

    def keys(self, owner: str, day: datetime) -> list[tuple[str, str]]:
        return [
            (period.name_at(day), subject)
            for period in Period
            for subject in (ALL, subject_of(owner))
        ]

    def is_over(self, owner: str, day: datetime, model: str, tasks: int) -> bool:
        """Whether an order would pass a cap."""
        price = PRICES[model]
        for cap in self.caps.limited:
            key = (cap.period.name_at(day), ALL if cap.is_total else subject_of(owner))
            limit = cap.limits.microdollars
            if limit is not None:
                if price is None and self.money[key] >= limit:
                    return True
                if price and self.money[key] + price > limit:
                    return True
            if tasks and cap.limits.tasks is not None and self.tasks[key] >= cap.limits.tasks:
                return True
        return False

    def count(self, owner: str, day: datetime, model: str, *, tasks: int, sign: int = 1) -> None:
        for key in self.keys(owner, day):
            self.money[key] += sign * (PRICES[model] or 0)
            self.tasks[key] += tasks


class Play:
    """Does the same to a store and to the model, and compares them."""

    def __init__(self, store: TaskStore, clock: Days, model: Model) -> None:
        self.store, self.clock, self.model = store, clock, model
        self.orders: list[Order] = []
        store.budget.set_caps(model.caps)

    async def step(self, kind: str, number: int, choice: int, owner: str, model: str) -> None:
        """Order a task, let a day pass, or do one of the possible things to an order."""
        if kind == "tomorrow":
            self.clock.today += timedelta(days=1)
        elif kind == "order":
            await self.order(owner, model)
        elif self.orders:
            order = self.orders[number % len(self.orders)]
            possible = [name for name, one in ACTIONS.items() if one[0] is order.task.status]
            if possible:
                await self.change(possible[choice % len(possible)], order, model)

    async def order(self, owner: str, model: str) -> None:
        today = self.clock.today
        is_over = self.model.is_over(owner, today, model, 1)
        try:
            task = await self.store.add(params_of(model), owner=owner)
        except BudgetError:
            assert is_over
            event("order refused")
            return
        assert not is_over
        self.model.count(owner, today, model, tasks=1)
        self.orders.append(Order(task, owner, model, today))

    async def change(self, action: str, order: Order, model: str) -> None:
        _, to, attempts, pays = ACTIONS[action]
        event(action)
        today, next_model = self.clock.today, order.model
        before = replace(self.model, money=self.model.money.copy(), tasks=self.model.tasks.copy())
        if action in {"fall_back", "retry"}:
            next_model = model
        is_released = pays in {"release", "exchange"}
        is_counted = pays in {"again", "retry", "exchange"}
        if pays == "exchange" and PRICES[model] == PRICES[order.model]:
            is_released = is_counted = False
        if is_released:
            self.model.count(order.owner, order.day, order.model, tasks=0, sign=-1)
        tasks = int(pays == "retry")
        is_over = is_counted and self.model.is_over(order.owner, today, next_model, tasks)
        try:
            moved = await self._carry_out(action, order.task, to, attempts, next_model)
        except BudgetError:
            assert is_over, action
            event(f"{action} refused")
            self.model = before
            return
        assert not is_over, action
        if is_counted:
            self.model.count(order.owner, today, next_model, tasks=tasks)
            order.day = today
        order.task, order.model = moved, next_model

    async def _carry_out(
        self, action: str, task: Task, to: TaskStatus, attempts: int, model: str
    ) -> Task:
        if action == "retry":
            return await self.store.retry(task.id, params_of(model))
        changes: dict[str, Any] = {"attempts": task.attempts + attempts}
        if action == "fall_back":
            changes["estimated_cost_usd"] = params_of(model).estimated_cost_usd
        if to is COMPLETED:
            changes["result_data"] = {}
        if to is FAILED:
            changes["error_data"] = {}
        moved = await self.store.move(task, to, **changes)
        assert moved is not None
        return moved

    async def check(self) -> None:
        """Compare every sum, and the shares of the tasks with the sum of everything."""
        for (period, subject), money in self.model.money.items():
            found = await self.store.spending(period, subject)
            assert found is not None
            assert found == (self.model.tasks[period, subject], money), (period, subject)
        rows = await self.store._database.read("SELECT sum(reserved_microdollars) FROM tasks")
        months = {period for period, _ in self.model.money if len(period) == 7}
        assert (rows[0][0] or 0) == sum(self.model.money[month, ALL] for month in months)
        for cap in self.model.caps.limited:
            sums = [
                (self.model.money[key], self.model.tasks[key])
                for key in self.model.money
                if (key[1] == ALL) == cap.is_total
                and (len(key[0]) == 7) == (cap.period is Period.MONTH)
            ]
            limits = cap.limits
            assert all(
                (limits.microdollars is None or money <= limits.microdollars)
                and (limits.tasks is None or tasks <= limits.tasks)
                for money, tasks in sums
            )


ACTIONS: dict[str, tuple[TaskStatus, TaskStatus, int, str]] = {
    "cancel": (QUEUED, FAILED, 0, "release"),
    "send": (QUEUED, SUBMITTING, 1, ""),
    "wait": (SUBMITTING, QUEUED, -1, ""),
    "fall_back": (SUBMITTING, QUEUED, -1, "exchange"),
    "refuse": (SUBMITTING, FAILED, -1, "release"),
    "lose": (SUBMITTING, QUEUED, 0, "again"),
    "give_up": (SUBMITTING, FAILED, 0, ""),
    "run": (SUBMITTING, RUNNING, 0, ""),
    "repeat": (RUNNING, QUEUED, 0, "again"),
    "complete": (RUNNING, COMPLETED, 0, ""),
    "fail": (RUNNING, FAILED, 0, ""),
    "retry": (FAILED, QUEUED, 0, "retry"),
}
"""Action -> the state that it needs, the next one, the change of `attempts`, what is counted."""

LIMITS = st.builds(
    Limits,
    microdollars=st.none() | st.integers(0, 120_000),
    tasks=st.none() | st.integers(0, 20),
)
CAPS = st.one_of(
    *(
        st.builds(Caps, **{name: LIMITS})
        for name in ("owner_per_day", "owner_per_month", "total_per_day", "total_per_month")
    ),
    st.builds(
        Caps,
        owner_per_day=LIMITS,
        owner_per_month=LIMITS,
        total_per_day=LIMITS,
        total_per_month=LIMITS,
    ),
    st.just(Caps()),
)
STEPS = 80


@settings(deadline=None, max_examples=200)
@given(CAPS, st.integers(0, 2**32), st.sampled_from((SQLiteTransaction, SharedTransaction)))
def test_the_sums_are_those_of_the_model(
    caps: Caps, seed: int, transaction: type[SQLiteTransaction]
) -> None:
    """Each order, repeat, refusal and end changes the sums as the model says, and none passes a
    cap."""
    # Lists of steps from Hypothesis are mostly too short to reach a repeat.
    chance = random.Random(seed)  # noqa: S311 - no secret

    async def play() -> None:
        with closing(
            sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        ) as connection:
            clock = Days()
            store = TaskStore(cast("Database", MemoryDatabase(connection, transaction)), clock)
            played = Play(store, clock, Model(caps))
            for _ in range(STEPS):
                await played.step(
                    chance.choice(("order", "change", "change", "change", "change", "tomorrow")),
                    chance.randrange(20),
                    chance.randrange(60),
                    chance.choice(("ann", "bob", "")),
                    chance.choice(sorted(PRICES)),
                )
            await played.check()

    asyncio.run(play())
