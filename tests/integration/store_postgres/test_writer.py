"""Writes of one server share transactions, and still succeed or fail one by one."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.store.database import Transaction, Work
from phoenix_compat.tasks.store.postgres import writer
from phoenix_compat.tasks.store.spending import ALL, Spent
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.worker_harness import task_params

INSERT = "INSERT INTO shared_secrets (name, value) VALUES (:name, :value)"


async def names(store: TaskStore) -> list[str]:
    rows = await store.database.read("SELECT name FROM shared_secrets ORDER BY name")
    return [row["name"] for row in rows]


async def test_many_writes_share_few_transactions(store: TaskStore) -> None:
    """What waits together is committed together; every task and every sum is right."""
    before = store.write_counts.batches

    tasks = await asyncio.gather(*(store.add(task_params()) for _ in range(200)))

    assert store.write_counts.batches - before < 20
    assert store.write_counts.largest > 20
    assert await store.spending("2026-01", ALL) == Spent(200, 200 * 20_000)
    assert len({task.number for task in tasks}) == 200
    events = await asyncio.gather(*(store.events(task.id) for task in tasks))
    assert Counter(len(one) for one in events) == {1: 200}


async def test_a_write_that_fails_fails_alone(store: TaskStore) -> None:
    """Its neighbours in the transaction run again, and are written once."""
    runs: Counter[int] = Counter()

    def numbered(number: int) -> Work[int]:
        async def work(transaction: Transaction) -> int:
            runs[number] += 1
            await transaction.execute(INSERT, {"name": f"{number:02}", "value": "x"})
            if number % 5 == 0:
                raise LookupError(number)
            return number

        return work

    results = await asyncio.gather(
        *(store.database.write(numbered(number)) for number in range(40)), return_exceptions=True
    )

    written = [number for number in range(40) if number % 5]
    assert [result for result in results if isinstance(result, int)] == written
    assert sum(isinstance(result, LookupError) for result in results) == 8
    assert await names(store) == [f"{number:02}" for number in written]
    assert max(runs.values()) <= 3


async def test_what_a_write_puts_off_is_written_with_it(store: TaskStore) -> None:
    """Or not at all, if the write fails, or what it has put off is refused."""

    def putting_off(name: str, *, fails: bool = False) -> Work[None]:
        async def work(transaction: Transaction) -> None:
            await transaction.later(INSERT, {"name": name, "value": "x"})
            if fails:
                raise LookupError

        return work

    await store.database.write(putting_off("a"))
    results = await asyncio.gather(
        *(store.database.write(putting_off(name, fails=name == "c")) for name in "bcade"),
        return_exceptions=True,
    )

    assert [type(result).__name__ for result in results] == [
        *("NoneType", "LookupError", "UniqueError", "NoneType", "NoneType")
    ]
    assert await names(store) == ["a", "b", "d", "e"]


async def test_sums_that_are_put_off_are_added_up(store: TaskStore) -> None:
    """One row for each of the others' values gets the sum."""
    text = "INSERT INTO spending (period, subject, tasks) VALUES (:period, :subject, :tasks)"

    async def work(transaction: Transaction) -> None:
        for subject, tasks in (("a", 1), ("b", 2), ("a", 3)):
            values = {"period": "p", "subject": subject, "tasks": tasks}
            await transaction.later(text, values, ("tasks",))

    await store.database.write(work)

    rows = await store.database.read("SELECT subject, tasks FROM spending ORDER BY subject")
    assert [tuple(row) for row in rows] == [("a", 4), ("b", 2)]


async def test_no_write_is_left_behind(store: TaskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that comes just when the last transaction ends gets one of its own."""
    monkeypatch.setattr(writer, "MAX_TRANSACTIONS", 1)

    async def one_after_the_other() -> None:
        for _ in range(20):
            await store.add(task_params())

    await asyncio.gather(*(one_after_the_other() for _ in range(3)))

    assert await store.newest_number() == 60


async def test_a_work_that_goes_on_after_an_error_is_not_acknowledged(store: TaskStore) -> None:
    """PostgreSQL rolls such a transaction back whatever follows."""

    async def work(transaction: Transaction) -> None:
        await transaction.execute(INSERT, {"name": "a", "value": "x"})
        with pytest.raises(StoreUnavailableError, match="undefined function"):
            await transaction.execute("SELECT no_such_function()")

    with pytest.raises(StoreUnavailableError, match="rolled"):
        await store.database.write(work)

    assert await names(store) == []


async def test_more_writes_than_can_wait_are_refused(
    store: TaskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refused ones are counted, and the others are written."""
    monkeypatch.setattr(writer, "MAX_WAITING_WRITES", 5)

    results = await asyncio.gather(
        *(store.add(task_params()) for _ in range(9)), return_exceptions=True
    )

    refused = [result for result in results if isinstance(result, StoreUnavailableError)]
    assert len(refused) == store.write_counts.refused == 4
    assert len(await store.list()) == 5
