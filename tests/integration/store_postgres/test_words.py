"""Texts of users and models that PostgreSQL does not take everywhere harm nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from phoenix_compat.tasks.model.errors import TaskNotFoundError
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.statements.filtered_queries import TaskFilter
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.stored_tasks import moved
from tests.integration.worker.worker_harness import task_params

HALF_A_PAIR = r'{"prompt": "red \ud83d cat", "b\u0000": "\\u0000"}'


async def found(store: TaskStore, text: str) -> list[int]:
    page = await store.page(max_bytes=10**6, only=TaskFilter(text=text))
    return [task.number for task in page.tasks]


async def test_a_search_passes_what_it_cannot_decode(
    store: TaskStore, sql: Callable[..., Awaitable[Any]]
) -> None:
    """NUL and half of a surrogate pair are stored as they came, and the words beside them found."""
    nul = await store.add(task_params(prompt="a\0b Cat", other="\0"))
    half = await store.add(task_params())
    plain = await store.add(task_params(prompt="cat \\u0000 dog"))
    await sql("UPDATE tasks SET input = $1 WHERE number = $2", HALF_A_PAIR, half.number)

    assert await found(store, "cat") == [plain.number, half.number, nul.number]
    assert await found(store, "DOG") == [plain.number]
    assert set(await store.prompts([nul.number, half.number], chars=3)) == {1, 2}
    assert await store.get(nul.id) == nul


async def test_results_are_stored_as_they_came(store: TaskStore) -> None:
    """With NUL, in the order of their keys, and with numbers that are not exact in floats."""
    running = await moved(
        store, await store.add(task_params()), TaskStatus.SUBMITTING, TaskStatus.RUNNING
    )
    result = {"z": "\0", "a": [1e-7, 12345678901234567890], "\0": {"é": None}}

    completed = await store.move(running, TaskStatus.COMPLETED, result_data=result)

    assert completed is not None
    stored = await store.get(completed.id)
    assert stored is not None
    assert stored.result_data is not None
    assert list(stored.result_data.items()) == list(result.items())
    assert (await store.events(completed.id))[-1].data == result


@pytest.mark.parametrize("id_", ["\0", "a\0b", "'; DROP TABLE tasks; --", "$1", ":id", "é" * 2_000])
async def test_strange_ids_are_found_as_little_as_missing_ones(store: TaskStore, id_: str) -> None:
    """Whoever asks for them, by id, as an owner or as a prediction."""
    task = await store.add(task_params())

    assert await store.get(id_) is None
    assert await store.get(task.id, owner=id_) is None
    assert await store.by_prediction(id_) is None
    assert await store.unclaimed_predictions([id_, "p"]) >= {"p"}
    assert await store.output_hashes([id_]) == frozenset()
    assert await store.list(owner=id_) == []
    assert list(await store.events(id_)) == []
    with pytest.raises(TaskNotFoundError):
        await store.request_cancel(id_)


@pytest.mark.parametrize(
    "owner", ["o'neil", '"; DROP TABLE tasks; --', "$1 :owner ? %", "\\", "😀"]
)
async def test_owners_are_values_never_sql(store: TaskStore, owner: str) -> None:
    """Each has its task, its key and its sums."""
    mine = await store.add(task_params(), owner=owner)
    await store.add(task_params(), owner="other")

    assert await store.list(owner=owner) == [mine]
    assert [spent[0] for spent in await store.largest_spending("2026-01-05", 9, owner)] == [owner]
    assert {task.owner for task in await store.due(9)} == {owner, "other"}
