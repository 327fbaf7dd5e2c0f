"""Caps: what is counted when a task is stored, what is taken back, and what is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from phoenix_compat.tasks.model.caps import Caps, Limits, Period
from phoenix_compat.tasks.model.errors import (
    BudgetError,
    CapReachedError,
    QueueFullError,
    QuotaReachedError,
)
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.spending import ALL, MAX_PRUNED, Spent
from phoenix_compat.tasks.store.task_store import IdempotencyKey, TaskStore
from tests.integration.store_contract.engines import Engine, execute
from tests.integration.store_contract.orders import (
    CENTS_2,
    FAILED,
    QUEUED,
    RUNNING,
    SUBMITTING,
    move,
    order,
    sums,
)
from tests.integration.worker.fake_provider import START, FakeClock
from tests.integration.worker.worker_harness import task_params


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


async def test_the_sums_survive_a_restart(engine: Engine) -> None:
    """A cap that is reached is reached after a restart."""
    async with await engine.open_store(FakeClock()) as first:
        await order(first)

    async with await engine.open_store(FakeClock()) as second:
        second.budget.set_caps(Caps(owner_per_day=Limits(microdollars=CENTS_2)))
        with pytest.raises(CapReachedError):
            await order(second)


SPOILT = (-1, -(10**12), "", "many", b"\xff", 1.5, 2**62, float("inf"), float("-inf"))


async def test_old_periods_are_deleted_a_few_at_a_time(engine: Engine) -> None:
    """Days go after two months and months after two years, without one long transaction."""
    async with await engine.open_store(FakeClock()) as store:
        old = [(f"2025-06-{day:02}", f"owner:{n}") for day in range(1, 31) for n in range(40)]
        kept = [("2025-12-01", "all"), ("2025-01", "all"), ("odd", "all")]
        for row in [*old, *kept, ("2023-06", "all")]:
            await execute(store, "INSERT INTO spending VALUES (?, ?, 1, 1)", row)

        left = []
        for _ in range(4):
            await order(store)
            ((count,),) = await store.database.read("SELECT count(*) FROM spending")
            left.append(count)

        assert left == [1_208 - MAX_PRUNED, 1_208 - 2 * MAX_PRUNED, 7, 7]
        assert [await store.spending(*one) for one in kept] == [Spent(1, 1)] * 3
