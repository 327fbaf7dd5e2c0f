"""A row that cannot be read harms its task alone: no other, no page, no command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from phoenix_compat.server.http.api import add_task_routes
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.api.api_harness import Client, problem
from tests.integration.store.unreadable_harness import (
    BAD,
    BAD_EVENTS,
    SECRET,
    Provider,
    loosen,
    put,
    stored,
    until,
)
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import (
    FAST,
    SCHEMA,
    Workshop,
    code_of,
    open_workshop,
    order,
)

PICTURE_DATA = {"image_url": "https://replicate.delivery/a.jpg"}


@asynccontextmanager
async def at_work(path: Path) -> AsyncIterator[tuple[Client, Workshop, Provider]]:
    """A server on this database, whose worker works."""
    provider = Provider()
    async with open_workshop(path, provider, FakeClock(), FAST) as workshop:
        app = web.Application()
        add_task_routes(app, workshop.store, workshop.worker)
        async with TestClient(TestServer(app)) as client:
            yield client, workshop, provider


async def a_store_with(path: Path, count: int) -> tuple[list[Task], Task]:
    """A database with so many queued tasks, and one more behind them."""
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as store:
        tasks = [await store.add(order()) for _ in range(count)]
        return tasks, await store.add(order())


async def have_ended(workshop: Workshop) -> bool:
    """Whether nothing is left to do."""
    counted = await workshop.store._database.read(
        "SELECT count(*) FROM tasks WHERE status IS NULL OR status NOT IN ('completed', 'failed')"
    )
    return bool(counted[0][0] == 0)


@pytest.mark.parametrize("column", BAD)
async def test_a_queued_task_that_cannot_be_read_fails_alone(path: Path, column: str) -> None:
    """Whatever stands in a column, its task fails, is shown, and the one behind it completes."""
    values = BAD[column]
    tasks, good = await a_store_with(path, len(values))
    await asyncio.to_thread(loosen, path)
    for task, value in zip(tasks, values, strict=True):
        await asyncio.to_thread(put, path, "tasks", column, value, task.number)

    with capture_logs() as logs:
        async with at_work(path) as (client, workshop, provider):
            done = await workshop.ended(good)
            async with client.get("/api/tasks", params={"limit": 200}) as page:
                listed = (await page.json())["tasks"]
            for task in tasks if column != "id" else []:
                async with client.get(f"/api/tasks/{task.id}") as shown:
                    document = await shown.json()
                assert (shown.status, document["status"]) == (200, "failed"), document
                assert document["error_data"]["code"] == "internal_error"
                async with client.get(f"/api/tasks/{task.id}/events") as events:
                    assert (await events.json())["events"][-1]["event"] == "failed"
                assert await workshop.store.queue_position(task.id) is None
            failed = await workshop.store.list(statuses={TaskStatus.FAILED}, limit=200)
            unfinished = await workshop.store.unfinished()

    assert done.status is TaskStatus.COMPLETED
    assert provider.ordered == [good.id]
    assert len(listed) == len(values) + 1
    assert {code_of(task) for task in failed} == {"internal_error"}
    assert len(failed) == len(values) == workshop.worker.counts["unreadable"]
    assert unfinished == []
    announced = [task for task in workshop.announced if task.id != good.id]
    assert {task.status for task in announced} == {TaskStatus.FAILED}
    told = [line for line in logs if line["event"] == "task.set_aside"]
    assert [line["columns"] for line in told] == [[column]] * len(values)
    assert SECRET not in str(logs)


@pytest.mark.parametrize("column", BAD)
async def test_a_paid_prediction_is_followed_without_what_it_does_not_need(
    path: Path, column: str
) -> None:
    """A running task whose prediction is known gets its result; what that needs must be read."""
    values = BAD[column]
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as store:
        tasks = []
        for number in range(len(values)):
            task = await store.add(order())
            for to in (TaskStatus.SUBMITTING, TaskStatus.RUNNING):
                moved = await store.move(task, to, prediction_id=f"p-{number}")
                assert moved is not None
                task = moved
            tasks.append(task)
    await asyncio.to_thread(loosen, path)
    for task, value in zip(tasks, values, strict=True):
        await asyncio.to_thread(put, path, "tasks", column, value, task.number)

    async with at_work(path) as (client, workshop, provider):
        await until(lambda: have_ended(workshop))
        async with client.get("/api/tasks", params={"limit": 200}) as page:
            listed = (await page.json())["tasks"]

    is_needed = column in {"id", "type", "status", "prediction_id", "cycle"}
    assert provider.ordered == []
    assert {task["status"] for task in listed} == {"failed" if is_needed else "completed"}
    if not is_needed:
        assert all(task["result_data"]["image_url"] for task in listed)


async def test_a_running_task_is_not_ordered_again_without_its_input(path: Path) -> None:
    """What the platform breaks is repeated only when it can be read what was asked for."""
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as store:
        task = await store.move(await store.add(order()), TaskStatus.SUBMITTING)
        assert task is not None
    await asyncio.to_thread(put, path, "tasks", "provider_input", "{", task.number)

    async with at_work(path) as (_client, workshop, provider):
        provider.answers["find"] = [[]]
        ended = await workshop.ended(task)

    assert provider.ordered == []
    assert provider.count("find") == len(FAST.reconcile_waits_s)
    assert code_of(ended) == "internal_error"


@pytest.mark.parametrize("column", BAD)
async def test_a_result_is_shown_whatever_else_cannot_be_read(path: Path, column: str) -> None:
    """A completed task stays completed while its result can be read; no page answers 500."""
    values = BAD[column]
    async with await TaskStore.open(path, SCHEMA, clock=FakeClock()) as store:
        tasks = []
        for number in range(len(values)):
            task = await store.add(order())
            for to in (TaskStatus.SUBMITTING, TaskStatus.RUNNING, TaskStatus.COMPLETED):
                result = PICTURE_DATA if to is TaskStatus.COMPLETED else None
                moved = await store.move(task, to, prediction_id=f"p-{number}", result_data=result)
                assert moved is not None
                task = moved
            tasks.append(task)
    await asyncio.to_thread(loosen, path)
    for task, value in zip(tasks, values, strict=True):
        await asyncio.to_thread(put, path, "tasks", column, value, task.number)

    async with at_work(path) as (client, workshop, _provider):
        if column == "status":
            await until(lambda: have_ended(workshop))
        async with client.get("/api/tasks", params={"limit": 200}) as page:
            listed = (await page.json())["tasks"]

    is_lost = column in {"status", "result_data"}
    assert [task["status"] for task in listed] == ["failed" if is_lost else "completed"] * len(
        values
    )
    if not is_lost:
        assert all(task["result_data"] == PICTURE_DATA for task in listed)


@pytest.mark.parametrize("column", BAD_EVENTS)
async def test_an_event_that_cannot_be_read_is_shown_as_far_as_it_can(
    path: Path, column: str
) -> None:
    """The page of the history answers, and the task goes on and ends as if nothing was."""
    values = BAD_EVENTS[column]
    tasks, _ = await a_store_with(path, len(values))
    await asyncio.to_thread(loosen, path)
    for task, value in zip(tasks, values, strict=True):
        await asyncio.to_thread(put, path, "events", column, value, task.id)

    with capture_logs() as logs:
        async with at_work(path) as (client, workshop, _provider):
            for task in tasks:
                assert (await workshop.ended(task)).status is TaskStatus.COMPLETED
                async with client.get(f"/api/tasks/{task.id}/events") as page:
                    assert page.status == 200
                    events = (await page.json())["events"]
                assert [event["event"] for event in events[-3:]] == [
                    "submitting",
                    "running",
                    "completed",
                ]

    assert SECRET not in str(logs)


async def test_a_task_that_was_set_aside_is_not_made_again(path: Path) -> None:
    """Nobody knows what was asked for; once more than that could be read, a retry works."""
    (lost, late), good = await a_store_with(path, 2)
    await asyncio.to_thread(put, path, "tasks", "input", "{", lost.number)
    await asyncio.to_thread(put, path, "tasks", "not_before", "zzzz", late.number)

    async with at_work(path) as (client, workshop, _provider):
        await workshop.ended(good)
        refused = await problem(await client.post(f"/api/tasks/{lost.id}/retry"), 409)
        again = await client.post(f"/api/tasks/{late.id}/retry")
        canceled = await client.post(f"/api/tasks/{lost.id}/cancel")
        await until(lambda: have_ended(workshop))
        done = await workshop.now(late)

    assert refused["type"].endswith(":unreadable-task")
    assert (again.status, canceled.status) == (202, 200)
    assert done.status is TaskStatus.COMPLETED


async def test_a_wait_without_end_is_no_wait(path: Path) -> None:
    """A task that is told to wait for years, by a wrong clock or hand, runs now."""
    (late,), _ = await a_store_with(path, 1)
    await asyncio.to_thread(
        put, path, "tasks", "not_before", "9999-12-31T23:59:59.999Z", late.number
    )

    async with at_work(path) as (_client, workshop, _provider):
        done = await workshop.ended(late)

    assert done.status is TaskStatus.COMPLETED


async def test_a_task_that_cannot_even_be_set_aside_hides_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is let be until the next start, and told of; the dispatcher goes on."""
    (lost,), good = await a_store_with(path, 1)
    await asyncio.to_thread(put, path, "tasks", "input", "{", lost.number)

    async def refuse(_store: TaskStore, _task: Task) -> Task:
        raise RuntimeError

    monkeypatch.setattr(TaskStore, "set_aside", refuse)
    with capture_logs() as logs:
        async with at_work(path) as (_client, workshop, _provider):
            done = await workshop.ended(good)
            counts = dict(workshop.worker.counts)

    assert done.status is TaskStatus.COMPLETED
    assert counts["abandoned"] == 1
    assert [line["task_id"] for line in logs if line["event"] == "task.abandoned"] == [lost.id]


@pytest.mark.parametrize(
    ("column", "value"), [("created_at", "zzzz"), ("created_at", b"\xff"), ("task_id", "gone")]
)
async def test_a_key_whose_task_or_time_is_none_is_forgotten(
    path: Path, column: str, value: object
) -> None:
    """An order with such a key is a new one, and not an error."""
    body = {"input_data": {"type": "image", "prompt": "monk"}}
    headers = {"Idempotency-Key": "once"}
    async with at_work(path) as (client, _workshop, _provider):
        first = await (await client.post("/api/tasks", json=body, headers=headers)).json()
        replayed = await (await client.post("/api/tasks", json=body, headers=headers)).json()
    await asyncio.to_thread(put, path, "idempotency_keys", column, value, first["task_id"])

    async with at_work(path) as (client, _workshop, _provider):
        answer = await client.post("/api/tasks", json=body, headers=headers)
        second = await answer.json()

    assert replayed["task_id"] == first["task_id"]
    assert answer.status == 202
    assert second["task_id"] != first["task_id"]
    assert stored(path, "SELECT count(*) FROM idempotency_keys") == [(1,)]
