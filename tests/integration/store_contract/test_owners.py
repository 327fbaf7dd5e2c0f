"""The tasks of one owner are not found by another: in lists, by id, by key, and when adopted."""

from __future__ import annotations

import dataclasses

import pytest

from phoenix_compat.tasks.model.errors import InvalidInputError, KeyReusedError, TaskNotFoundError
from phoenix_compat.tasks.model.task import UNREADABLE_OWNER, Task, TaskStatus
from phoenix_compat.tasks.store import task_store
from phoenix_compat.tasks.store.task_store import IdempotencyKey, TaskStore
from tests.integration.store.stored_tasks import moved
from tests.integration.worker.worker_harness import task_params

KEY = IdempotencyKey("once", "f" * 64)


async def added(store: TaskStore, owner: str, count: int = 1) -> list[Task]:
    """Add tasks of an owner."""
    return [await store.add(task_params(), owner=owner) for _ in range(count)]


async def test_a_task_has_its_owner(store: TaskStore) -> None:
    """It is stored, read, and kept by moves and retries."""
    (task,) = await added(store, "ada")

    failed = await moved(store, task, TaskStatus.FAILED)
    retried = await store.retry(task.id, task_params(), owner="ada")

    assert [one.owner for one in (task, failed, retried)] == ["ada"] * 3
    assert await store.get(task.id, owner="ada") == retried


async def test_by_id_only_the_owner_finds_a_task(store: TaskStore) -> None:
    """For every other owner each method answers as if there were no such task."""
    (task,) = await added(store, "ada")

    for owner in ("bob", "", "ADA", "ada ", UNREADABLE_OWNER):
        assert await store.get(task.id, owner=owner) is None
        assert await store.get(task.id, owner=owner, with_inputs=False) is None
        assert await store.events(task.id, owner=owner) == []
        assert await store.queue_position(task.id, owner=owner) is None
        with pytest.raises(TaskNotFoundError):
            await store.request_cancel(task.id, owner=owner)
        with pytest.raises(TaskNotFoundError):
            await store.retry(task.id, task_params(), owner=owner)

    for finder in ("ada", None):
        assert await store.get(task.id, owner=finder) == task
        assert len(await store.events(task.id, owner=finder)) == 1
        assert await store.queue_position(task.id, owner=finder) == 1
    assert (await store.request_cancel(task.id, owner="ada")).is_cancel_requested


@pytest.mark.parametrize("statuses", [frozenset(TaskStatus), frozenset({TaskStatus.QUEUED})])
async def test_a_list_has_the_tasks_of_one_owner(
    store: TaskStore, statuses: frozenset[TaskStatus]
) -> None:
    """Pages have no gaps, whatever others add in between; None lists everybody's."""
    tasks = {"ada": await added(store, "ada", 2), "bob": await added(store, "bob", 2)}
    for owner in tasks:
        tasks[owner] += await added(store, owner, 3)

    for owner, own in tasks.items():
        first = await store.list(statuses=statuses, limit=2, owner=owner)
        rest = await store.list(statuses=statuses, limit=9, before=first[-1].number, owner=owner)
        page = await store.page(statuses=statuses, limit=9, owner=owner, max_bytes=10_000)
        assert [task.id for task in first + rest] == [task.id for task in reversed(own)]
        assert [task.id for task in page.tasks] == [task.id for task in reversed(own)]
    assert len(await store.list(statuses=statuses)) == 10
    assert await store.list(statuses=statuses, owner="") == []


async def test_each_owner_has_idempotency_keys_of_its_own(store: TaskStore) -> None:
    """The same key makes one task for each owner, and says nothing about the others' bodies."""
    first, _ = await store.add_once(task_params(), KEY, owner="ada")
    other_body = dataclasses.replace(KEY, body_fingerprint="0" * 64)

    second, was_known = await store.add_once(task_params(), other_body, owner="bob")
    again, is_known = await store.add_once(task_params(), KEY, owner="ada")

    assert (was_known, is_known) == (False, True)
    assert again == first
    assert second.id != first.id
    assert (first.owner, second.owner) == ("ada", "bob")
    with pytest.raises(KeyReusedError):
        await store.add_once(task_params(), other_body, owner="ada")


@pytest.mark.parametrize("owner", ["two\nlines", "x" * 1_025, "\x00", "a\u2028b", "\ud800"])
async def test_an_owner_that_could_not_be_read_is_refused(store: TaskStore, owner: str) -> None:
    """Such a task could be seen by nobody, so it is not stored."""
    with pytest.raises(InvalidInputError, match="owner: must be a text of at most 1024"):
        await store.add(task_params(), owner=owner)
    with pytest.raises(InvalidInputError, match="owner"):
        await store.add_once(task_params(), KEY, owner=owner)
    with pytest.raises(InvalidInputError, match="owner"):
        await store.adopt(owner)

    assert await store.list() == []


async def test_tasks_of_nobody_are_adopted(
    store: TaskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They and their keys go to the owner, part by part; those of others stay."""
    monkeypatch.setattr(task_store, "ADOPTED_AT_ONCE", 2)
    old, _ = await store.add_once(task_params(), KEY)
    others = await added(store, "", 4)
    (foreign,) = await added(store, "bob")

    adopted = await store.adopt("ada")
    again = await store.adopt("ada")
    replayed, is_known = await store.add_once(task_params(), KEY, owner="ada")

    assert (adopted, again) == (5, 0)
    assert {task.id for task in await store.list(owner="ada")} == {old.id, *(t.id for t in others)}
    assert [task.id for task in await store.list(owner="bob")] == [foreign.id]
    assert (replayed.id, is_known) == (old.id, True)
    with pytest.raises(InvalidInputError, match="owner: must not be empty"):
        await store.adopt("")


async def test_an_owner_keeps_a_key_that_it_used_itself(store: TaskStore) -> None:
    """If nobody's task had the same key, the owner's own task is returned after the adoption."""
    await store.add_once(task_params(), KEY)
    own, _ = await store.add_once(task_params(), KEY, owner="ada")

    assert await store.adopt("ada") == 1

    replayed, is_known = await store.add_once(task_params(), KEY, owner="ada")
    fresh, was_known = await store.add_once(task_params(), KEY)
    assert (replayed.id, is_known) == (own.id, True)
    assert (fresh.owner, was_known) == ("", False)


async def test_a_page_reads_no_inputs(store: TaskStore) -> None:
    """The tasks of a page have none; a row whose input cannot be read is shown as it is."""
    task = await store.add(task_params(prompt="x" * 10_000), owner="ada")
    completed = await moved(
        store, task, TaskStatus.SUBMITTING, TaskStatus.RUNNING, TaskStatus.COMPLETED
    )

    page = await store.page(owner="ada", max_bytes=10_000)
    summary = await store.get(task.id, owner="ada", with_inputs=False)

    assert page.tasks == [completed.without_inputs()]
    assert summary == completed.without_inputs()
    assert (page.has_more, page.result_bytes) == (False, len("[]"))


async def test_a_page_ends_when_it_has_enough_bytes(store: TaskStore) -> None:
    """The rows after it are not read, and there may be more; an exact end says so too."""
    for _ in range(4):
        task = await moved(
            store,
            await store.add(task_params()),
            TaskStatus.SUBMITTING,
            TaskStatus.RUNNING,
        )
        await store.move(task, TaskStatus.COMPLETED, result_data={"text": "é" * 500})

    short = await store.page(max_bytes=1_500)
    whole = await store.page(max_bytes=100_000)
    full = await store.page(max_bytes=100_000, limit=4)

    assert (len(short.tasks), short.has_more) == (2, True)
    assert (len(whole.tasks), whole.has_more) == (4, False)
    assert full.has_more
    assert short.result_bytes > 2_000
