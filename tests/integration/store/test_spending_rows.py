"""Sums that cannot be read, and those of an older version."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from phoenix_compat.tasks.model.caps import Caps, Limits
from phoenix_compat.tasks.model.errors import (
    BudgetError,
)
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.spending import ALL, Spent, subject_of
from tests.integration.store_contract.orders import (
    CENTS_2,
    DAY,
    FAILED,
    QUEUED,
    move,
    order,
    sums,
)
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import SCHEMA

SPOILT = (-1, -(10**12), "", "many", b"\xff", 1.5, 2**62, float("inf"), float("-inf"))


@pytest.mark.parametrize("value", SPOILT)
@pytest.mark.parametrize("column", ["tasks", "microdollars"])
@pytest.mark.parametrize("limits", [Limits(tasks=1_000), Limits(microdollars=10**9)])
async def test_a_sum_that_cannot_be_read_counts_as_used_up(
    path: Path, column: str, value: object, limits: Limits
) -> None:
    """The owner is refused, is never named in the log, and everybody else goes on."""
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
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
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        task = await order(store)
        column = "reserved_on" if value is None else "reserved_microdollars"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE tasks SET {column} = ?", (value,))  # noqa: S608 - a test

        failed = await move(store, task, FAILED, error_data={})

        assert failed.status is FAILED
        assert await sums(store) == [(1, CENTS_2)] * 4


async def test_a_migrated_database_starts_with_nothing_spent(path: Path) -> None:
    """Tasks of an older version were not counted, so their end takes nothing back."""
    old = (Path(__file__).parent / "version_1.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(old)
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        (task, *_) = [one for one in await store.list() if one.status is QUEUED]
        await order(store, "")

        await move(store, task, FAILED, error_data={})

        assert await store.spending(DAY, ALL) == Spent(1, CENTS_2)
