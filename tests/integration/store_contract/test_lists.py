"""Lists, searches, counts, and what may be deleted, compared with simple models."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.statements import filtered_queries
from phoenix_compat.tasks.store.task_store import NEWEST, TaskFilter, TaskStore
from tests.integration.store.stored_tasks import moved
from tests.integration.worker.fake_provider import START, FakeClock
from tests.integration.worker.worker_harness import task_params

MANY = 10**9
MODELS = ("a/b", "c/d")
PROMPTS = ("Monk 100%", "a_b monk", "Fox \\ owl", "É ÈFOX", "monk\u0000")


@pytest.fixture
async def tasks(store: TaskStore) -> Sequence[Task]:
    """Forty tasks of three owners in all states, newest first."""
    dice = random.Random(5)  # noqa: S311 - a reproducible choice
    found = []
    for number in range(40):
        params = task_params(
            prompt=dice.choice(PROMPTS), model=dice.choice(MODELS), notes="x" * dice.randint(0, 99)
        )
        task = await store.add(params, owner=dice.choice(["", "ada", "bob"]))
        for to in dice.choice([[], ["submitting"], ["submitting", "running"], ["failed"]]):
            task = await moved(store, task, TaskStatus(to))
        if task.status is TaskStatus.RUNNING and dice.random() < 0.7:
            result = {"text": "é" * dice.randint(0, 50)}
            done = await store.move(task, TaskStatus.COMPLETED, result_data=result)
            assert done is not None
            task = done
        found.append(task)
        assert task.number == number + 1
    return found[::-1]


def without_inputs(task: Task) -> Task:
    return task.without_inputs()


def matches(task: Task, only: TaskFilter, statuses: set[TaskStatus], owner: str | None) -> bool:
    return (
        task.status in statuses
        and owner in {None, task.owner}
        and only.type in {None, task.type, task.task_type}
        and only.model in {None, task.model}
        and (only.text is None or only.text.lower() in _lower(task.input_data["prompt"]))
    )


def _lower(text: str) -> str:
    """Only ASCII letters match in either case."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


async def all_pages(store: TaskStore, **query: Any) -> list[Task]:
    """The tasks of all pages, one after the other."""
    found: list[Task] = []
    before = NEWEST
    while True:
        page = await store.page(max_bytes=MANY, before=before, **query)
        found += page.tasks
        if not page.has_more:
            return found
        before = page.searched_to or page.tasks[-1].number


async def test_searches_find_what_a_model_finds(
    store: TaskStore, tasks: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By type, model, text, state and owner, in pages, also where a search ends early."""
    monkeypatch.setattr(filtered_queries, "MAX_SEARCHED", 7)
    monkeypatch.setattr(filtered_queries, "MAX_PROMPTS_SEARCHED", 5)
    dice = random.Random(6)  # noqa: S311 - a reproducible choice
    for _ in range(60):
        only = TaskFilter(
            dice.choice([None, None, "image", "image_gen", "x"]),
            dice.choice([None, None, *MODELS]),
            dice.choice([None, "monk", "MONK", "%", "_", "\\", "é", "fox", "zebra"]),
        )
        statuses = set(dice.choice([[*TaskStatus], ["queued"], ["failed", "completed"]]))
        owner = dice.choice([None, "ada", "nobody"])
        states = {TaskStatus(status) for status in statuses}

        found = await all_pages(
            store, only=only, statuses=states, owner=owner, limit=dice.randint(1, 9)
        )

        wanted = [without_inputs(one) for one in tasks if matches(one, only, states, owner)]
        assert found == wanted, (only, states, owner)


async def test_a_list_has_everything_of_its_tasks(store: TaskStore, tasks: Sequence[Task]) -> None:
    """In any state, and page by page."""
    failed = {TaskStatus.FAILED, TaskStatus.COMPLETED}

    assert await store.list(limit=99) == tasks
    assert await store.list(limit=5, before=tasks[4].number) == tasks[5:10]
    assert await store.list(limit=99, statuses=failed, owner="ada") == [
        one for one in tasks if one.status in failed and one.owner == "ada"
    ]


async def test_a_page_ends_with_its_bytes(store: TaskStore, tasks: Sequence[Task]) -> None:
    """Bytes of UTF-8, with the task that reaches the limit."""
    page = await store.page(max_bytes=300, limit=99)
    sizes = [2 + len(str(one.result_data or "").encode()) for one in tasks]

    assert 0 < len(page.tasks) < len(tasks)
    assert page.has_more
    assert 300 <= page.result_bytes <= 300 + max(sizes) + 20


async def test_tasks_are_counted_by_state(store: TaskStore, tasks: Sequence[Task]) -> None:
    """Each state has its number; what ended is counted once a minute."""
    counts = await store.status_counts()

    assert counts == {status: sum(one.status is status for one in tasks) for status in TaskStatus}
    assert [one.id for one in await store.unfinished()] == [
        one.id
        for one in reversed(tasks)
        if one.status in {TaskStatus.SUBMITTING, TaskStatus.RUNNING}
    ]
    assert [one.id for one in await store.longest_waiting(3)] == [
        one.id for one in reversed(tasks) if one.status is TaskStatus.QUEUED
    ][:3]


async def test_what_ended_before_a_time_is_deleted(store: TaskStore, tasks: Sequence[Task]) -> None:
    """With everything that belongs to it; a task that was retried meanwhile stays."""
    ended = [one for one in reversed(tasks) if one.status.is_terminal]
    retried = next(one for one in ended if one.status is TaskStatus.FAILED)
    later = START + timedelta(hours=1)
    clock = FakeClock()
    clock.elapsed_s = 3_600.0

    assert await store.ended_before(START, 99) == {}
    found = await store.ended_before(later, 99)
    assert list(found) == [one.number for one in ended]
    assert list(await store.ended_before(later, 2)) == [one.number for one in ended[:2]]
    await store.retry(retried.id, task_params())

    assert await store.delete_ended(found, later) == len(ended) - 1
    left = {one.id for one in await store.list(limit=99)}
    assert left == {one.id for one in tasks if not one.status.is_terminal} | {retried.id}
    assert await store.events(ended[-1].id) == []


async def test_files_that_tasks_share_are_kept(store: TaskStore) -> None:
    """A hash that another task has as an output is not free."""
    files = [
        {"sha256": letter * 64, "bytes": 3, "content_type": "image/png", "path": f"{letter}.png"}
        for letter in "abc"
    ]
    numbers = []
    for own in ([files[0]], [files[0], files[1]], [files[2]]):
        task = await moved(
            store, await store.add(task_params()), TaskStatus.SUBMITTING, TaskStatus.RUNNING
        )
        await store.move(task, TaskStatus.COMPLETED, result_data={}, files=tuple(own))
        numbers.append(task.number)
    hashes = {letter * 64 for letter in "abcd"}

    assert await store.shared_hashes(hashes, numbers[:1]) == {letter * 64 for letter in "abc"}
    assert await store.output_hashes(hashes, numbers[1:]) == {"a" * 64}
    assert (await store.ended_before(START + timedelta(hours=1), 9))[numbers[1]] == {
        "a" * 64,
        "b" * 64,
    }


async def test_predictions_that_no_task_has_are_found(store: TaskStore) -> None:
    """Those that a task gave up are not among them."""
    task = await moved(store, await store.add(task_params()), TaskStatus.SUBMITTING)
    running = await store.move(task, TaskStatus.RUNNING, prediction_id="p-1")
    assert running is not None
    await store.move(running, TaskStatus.QUEUED, prediction_id=None)

    assert await store.unclaimed_predictions(["p-1", "p-2"]) == {"p-2"}
    assert await store.by_prediction("p-1") is None
