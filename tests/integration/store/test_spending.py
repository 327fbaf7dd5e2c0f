"""Caps: what is counted when a task is stored, what is taken back, and what is refused."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from phoenix_compat.tasks.model.caps import Caps, Limits, Period
from phoenix_compat.tasks.model.errors import (
    BudgetError,
    CapReachedError,
    QueueFullError,
    QuotaReachedError,
)
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.spending import ALL, MAX_PRUNED, Spent, subject_of
from phoenix_compat.tasks.store.task_store import IdempotencyKey, TaskStore
from tests.integration.worker.fake_provider import START, FakeClock
from tests.integration.worker.worker_harness import SCHEMA, task_params

QUEUED, SUBMITTING, RUNNING = TaskStatus.QUEUED, TaskStatus.SUBMITTING, TaskStatus.RUNNING
COMPLETED, FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED
DAY, MONTH = "2026-01-05", "2026-01"
CENTS_2 = 20_000
"""The price of the default model, in micro-dollars."""


async def order(store: TaskStore, owner: str = "ann", **inputs: Any) -> Task:
    return await store.add(task_params(**inputs), owner=owner)


async def move(store: TaskStore, task: Task, to: TaskStatus, **changes: Any) -> Task:
    if to is SUBMITTING:
        changes = {"attempts": task.attempts + 1} | changes
    moved = await store.move(task, to, **changes)
    assert moved is not None
    return moved


async def sums(store: TaskStore, owner: str = "ann", day: str = DAY) -> list[tuple[int, int]]:
    """What was ordered: by the owner in the day and the month, then by all."""
    found = [
        await store.spending(period, subject)
        for subject in (subject_of(owner), ALL)
        for period in (day, day[:7])
    ]
    return [(one.tasks, one.microdollars) for one in found if one is not None]


async def test_an_order_is_counted_with_its_task(store: TaskStore) -> None:
    """The task and its cost are counted for the owner and for all, in the day and the month."""
    await order(store)
    await order(store, "bob", model="google/imagen-4")
    await order(store, "bob", model="you/unpriced")

    assert await sums(store) == [(1, CENTS_2), (1, CENTS_2), (3, 60_000), (3, 60_000)]
    assert (await sums(store, "bob"))[:2] == [(2, 40_000), (2, 40_000)]
    assert await store.spending("2026-01-04", ALL) == Spent(0, 0)


async def test_an_owners_cap_is_exact_among_concurrent_orders(store: TaskStore) -> None:
    """With a dollar for pictures of two cents, fifty of a hundred orders at once are stored."""
    store.budget.set_caps(Caps(owner_per_day=Limits(microdollars=1_000_000)))

    results = await asyncio.gather(
        *(order(store, "ann") for _ in range(100)), return_exceptions=True
    )
    other = await order(store, "bob")

    refused = [one for one in results if isinstance(one, CapReachedError)]
    assert len(refused) == 50
    assert len(await store.list(limit=200)) == 51
    assert await sums(store) == [(50, 1_000_000), (50, 1_000_000), (51, 1_020_000), (51, 1_020_000)]
    assert store.budget.refused == 50
    assert other.status is QUEUED


@pytest.mark.parametrize(("limit", "stored"), [(39_999, 1), (40_000, 2), (40_001, 2)])
async def test_a_cap_is_exact_to_the_microdollar(store: TaskStore, limit: int, stored: int) -> None:
    """The last order may use up the cap, and may not pass it by a millionth of a dollar."""
    store.budget.set_caps(Caps(total_per_day=Limits(microdollars=limit)))

    results = await asyncio.gather(*(order(store) for _ in range(3)), return_exceptions=True)

    assert [isinstance(one, Task) for one in results] == [True] * stored + [False] * (3 - stored)


@pytest.mark.parametrize(
    ("caps", "is_total", "period"),
    [
        (Caps(owner_per_day=Limits(microdollars=50_000)), False, Period.DAY),
        (Caps(owner_per_month=Limits(microdollars=50_000)), False, Period.MONTH),
        (Caps(total_per_day=Limits(microdollars=50_000)), True, Period.DAY),
        (Caps(total_per_month=Limits(microdollars=50_000)), True, Period.MONTH),
        (Caps(owner_per_day=Limits(tasks=2)), False, Period.DAY),
        (Caps(owner_per_month=Limits(tasks=2)), False, Period.MONTH),
        (Caps(total_per_day=Limits(tasks=2)), True, Period.DAY),
        (Caps(total_per_month=Limits(tasks=2)), True, Period.MONTH),
    ],
)
async def test_each_cap_refuses_and_says_when_it_resets(
    store: TaskStore, caps: Caps, period: Period, *, is_total: bool
) -> None:
    """The error names the cap and its end; in the next period the owner may order again."""
    store._clock = clock = FakeClock()
    store.budget.set_caps(caps)
    await order(store, "ann")
    await order(store, "bob" if is_total else "ann")

    with pytest.raises(BudgetError) as refused:
        await order(store, "ann")

    assert isinstance(refused.value, QuotaReachedError) is (caps.limited[0].limits.tasks == 2)
    assert (refused.value.cap.is_total, refused.value.cap.period) == (is_total, period)
    assert refused.value.resets_at == period.end_after(START)
    assert refused.value.wait_s == (refused.value.resets_at - START).total_seconds()
    clock.elapsed_s = float(refused.value.wait_s)
    assert (await order(store, "ann")).status is QUEUED


async def test_a_refused_order_leaves_nothing(store: TaskStore) -> None:
    """Refused by a cap or by a full queue, an order is not stored, and not counted anywhere."""
    store.budget.set_caps(Caps(total_per_day=Limits(tasks=1)))
    await order(store)
    with pytest.raises(QuotaReachedError):
        await store.add_once(task_params(), IdempotencyKey("k", "f"), owner="ann")
    store.budget.set_caps(Caps())
    with pytest.raises(QueueFullError):
        await store.add(task_params(), owner="ann", max_queued=1)

    assert len(await store.list()) == 1
    assert await sums(store) == [(1, CENTS_2)] * 4
    _, is_replayed = await store.add_once(task_params(), IdempotencyKey("k", "f"), owner="ann")
    assert not is_replayed


async def test_a_replayed_key_is_counted_once(store: TaskStore) -> None:
    """A repeated request returns the first task, even when the cap is reached by then."""
    store.budget.set_caps(Caps(owner_per_day=Limits(microdollars=CENTS_2, tasks=1)))
    first, _ = await store.add_once(task_params(), IdempotencyKey("k", "f"), owner="ann")

    again, is_replayed = await store.add_once(task_params(), IdempotencyKey("k", "f"), owner="ann")

    assert (again.id, is_replayed) == (first.id, True)
    assert await sums(store) == [(1, CENTS_2)] * 4


async def test_an_unpriced_order_is_refused_only_when_the_money_is_used_up(
    store: TaskStore,
) -> None:
    """A model without a price counts nothing; a reached cap refuses it all the same."""
    store.budget.set_caps(Caps(owner_per_day=Limits(microdollars=CENTS_2)))

    await order(store, model="you/unpriced")
    await order(store)

    with pytest.raises(CapReachedError):
        await order(store, model="you/unpriced")


async def test_a_task_that_was_never_sent_gives_its_cost_back(store: TaskStore) -> None:
    """A queued task that is canceled costs nothing; it still counts as an order."""
    task = await order(store)

    await move(store, task, FAILED, error_data={})

    assert await sums(store) == [(1, 0)] * 4


async def test_a_refused_create_gives_its_cost_back(store: TaskStore) -> None:
    """A move that takes the attempt back says that nothing was billed."""
    submitting = await move(store, await order(store), SUBMITTING)

    await move(store, submitting, FAILED, attempts=0, error_data={})

    assert await sums(store) == [(1, 0)] * 4


@pytest.mark.parametrize("states", [(SUBMITTING,), (SUBMITTING, RUNNING)])
async def test_a_create_that_may_have_been_billed_keeps_its_cost(
    store: TaskStore, states: tuple[TaskStatus, ...]
) -> None:
    """An unknown outcome, a failed and a canceled prediction, and a result: all of them keep it."""
    task = await order(store)
    for state in states:
        task = await move(store, task, state)

    await move(store, task, FAILED, error_data={})

    assert await sums(store) == [(1, CENTS_2)] * 4


async def test_a_repeat_costs_once_more(store: TaskStore) -> None:
    """A second create is counted; if it is not sent in the end, only its cost is given back."""
    running = await move(store, await move(store, await order(store), SUBMITTING), RUNNING)

    repeated = await move(store, running, QUEUED, retries=1)
    assert await sums(store) == [(1, 2 * CENTS_2)] * 4
    await move(store, repeated, FAILED, error_data={})

    assert await sums(store) == [(1, CENTS_2)] * 4


async def test_a_repeat_that_would_pass_a_cap_is_refused(store: TaskStore) -> None:
    """The task stays as it is, and so does what is counted."""
    store.budget.set_caps(Caps(owner_per_day=Limits(microdollars=CENTS_2, tasks=1)))
    running = await move(store, await move(store, await order(store), SUBMITTING), RUNNING)

    with pytest.raises(CapReachedError):
        await store.move(running, QUEUED, retries=1)

    assert await store.get(running.id) == running
    assert await sums(store) == [(1, CENTS_2)] * 4
    assert [event.event for event in await store.events(running.id)] == [
        "queued",
        "submitting",
        "running",
    ]


async def test_a_create_that_was_not_sent_is_not_counted_twice(store: TaskStore) -> None:
    """A task that goes back to wait keeps its one cost, also when the cap is reached."""
    store.budget.set_caps(Caps(owner_per_day=Limits(microdollars=CENTS_2)))
    submitting = await move(store, await order(store), SUBMITTING)

    await move(store, submitting, QUEUED, attempts=0)

    assert await sums(store) == [(1, CENTS_2)] * 4


@pytest.mark.parametrize("price", [0.003, 0.06, None])
async def test_a_fallback_model_counts_its_own_price(store: TaskStore, price: float | None) -> None:
    """The refused model's cost is replaced by that of the next one."""
    submitting = await move(store, await order(store), SUBMITTING)

    await move(store, submitting, QUEUED, attempts=0, estimated_cost_usd=price)

    assert await sums(store) == [(1, round((price or 0) * 1e6))] * 4


async def test_a_fallback_model_that_would_pass_a_cap_is_refused(store: TaskStore) -> None:
    """What was counted before stays until the task has failed."""
    store.budget.set_caps(Caps(owner_per_day=Limits(microdollars=50_000)))
    submitting = await move(store, await order(store), SUBMITTING)

    with pytest.raises(CapReachedError):
        await store.move(submitting, QUEUED, attempts=0, estimated_cost_usd=0.06)

    assert await sums(store) == [(1, CENTS_2)] * 4


async def test_a_cost_is_given_back_to_the_day_on_which_it_was_counted(store: TaskStore) -> None:
    """The next day's sums do not change, and the old day's do."""
    store._clock = clock = FakeClock()
    task = await order(store)
    clock.elapsed_s = 86_400.0

    await order(store)
    await move(store, task, FAILED, error_data={})

    assert await sums(store) == [(1, 0), (2, CENTS_2)] * 2
    assert await sums(store, day="2026-01-06") == [(1, CENTS_2), (2, CENTS_2)] * 2


async def test_a_retry_is_a_new_order(store: TaskStore) -> None:
    """It counts a task and its cost again, for the owner, and is refused by a reached cap."""
    failed = await move(store, await order(store), FAILED, error_data={})
    store.budget.set_caps(Caps(owner_per_day=Limits(tasks=2)))

    retried = await store.retry(failed.id, task_params())
    failed = await move(store, await move(store, retried, SUBMITTING), FAILED, error_data={})

    assert await sums(store) == [(2, CENTS_2)] * 4
    with pytest.raises(QuotaReachedError):
        await store.retry(failed.id, task_params())
    assert await store.get(failed.id) == failed


async def test_deleting_tasks_does_not_open_a_cap(store: TaskStore) -> None:
    """The sums stay when the tasks are deleted."""
    task = await move(store, await order(store), FAILED, error_data={})

    await store.delete_ended({task.number}, START + timedelta(days=1))

    assert await sums(store) == [(1, 0)] * 4


async def test_caps_may_change_between_orders(store: TaskStore) -> None:
    """What was ordered without a cap counts when one is set."""
    await order(store)
    store.budget.set_caps(Caps(owner_per_day=Limits(tasks=1)))
    with pytest.raises(QuotaReachedError):
        await order(store)

    store.budget.set_caps(Caps(owner_per_day=Limits(tasks=2)))

    assert (await order(store)).status is QUEUED


async def test_the_sums_survive_a_restart(path: Path) -> None:
    """A cap that is reached is reached after a restart."""
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as first:
        await order(first)

    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as second:
        second.budget.set_caps(Caps(owner_per_day=Limits(microdollars=CENTS_2)))
        with pytest.raises(CapReachedError):
            await order(second)


SPOILT = (-1, -(10**12), "", "many", b"\xff", 1.5, 2**62, float("inf"), float("-inf"))


@pytest.mark.parametrize("value", SPOILT)
@pytest.mark.parametrize("column", ["tasks", "microdollars"])
@pytest.mark.parametrize("limits", [Limits(tasks=1_000), Limits(microdollars=10**9)])
async def test_a_sum_that_cannot_be_read_counts_as_used_up(
    path: Path, column: str, value: object, limits: Limits
) -> None:
    """The owner is refused, is never named in the log, and everybody else goes on."""
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as store:
        task = await order(store)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                f"UPDATE spending SET {column} = ? WHERE subject = 'owner:ann'",  # noqa: S608 - a test
                (value,),
            )
        store.budget.set_caps(Caps(owner_per_day=limits))

        with capture_logs() as logged:
            for _ in range(2):
                with pytest.raises(BudgetError):
                    await order(store)
        other = await order(store, "bob")
        await move(store, task, FAILED, error_data={})

        assert other.status is QUEUED
        assert await store.spending(DAY, subject_of("ann")) is None
        assert await store.spending(DAY, ALL) == Spent(2, CENTS_2)
        with pytest.raises(BudgetError):
            await order(store)
    assert [entry["event"] for entry in logged] == ["spending.unreadable"]
    assert "ann" not in str(logged)


@pytest.mark.parametrize("value", [*SPOILT, None])
async def test_a_share_that_cannot_be_read_gives_nothing_back(path: Path, value: object) -> None:
    """A task with a spoilt share ends as usual; the sums stay."""
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as store:
        task = await order(store)
        column = "reserved_on" if value is None else "reserved_microdollars"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE tasks SET {column} = ?", (value,))  # noqa: S608 - a test

        failed = await move(store, task, FAILED, error_data={})

        assert failed.status is FAILED
        assert await sums(store) == [(1, CENTS_2)] * 4


async def test_old_periods_are_deleted_a_few_at_a_time(path: Path) -> None:
    """Days go after two months and months after two years, without one long transaction."""
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as store:
        old = [(f"2025-06-{day:02}", f"owner:{n}") for day in range(1, 31) for n in range(40)]
        kept = [("2025-12-01", "all"), ("2025-01", "all"), ("odd", "all")]
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executemany(
                "INSERT INTO spending VALUES (?, ?, 1, 1)", [*old, *kept, ("2023-06", "all")]
            )

        left = []
        for _ in range(4):
            await order(store)
            with closing(sqlite3.connect(path)) as connection:
                left.append(connection.execute("SELECT count(*) FROM spending").fetchone()[0])

        assert left == [1_208 - MAX_PRUNED, 1_208 - 2 * MAX_PRUNED, 7, 7]
        assert [await store.spending(*one) for one in kept] == [Spent(1, 1)] * 3


async def test_a_migrated_database_starts_with_nothing_spent(path: Path) -> None:
    """Tasks of an older version were not counted, so their end takes nothing back."""
    old = (Path(__file__).parent / "version_1.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(old)
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as store:
        (task, *_) = [one for one in await store.list() if one.status is QUEUED]
        await order(store, "")

        await move(store, task, FAILED, error_data={})

        assert await store.spending(DAY, ALL) == Spent(1, CENTS_2)
