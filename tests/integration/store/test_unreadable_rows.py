"""A row that cannot be read affects only its own task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from phoenix_compat.server.http.tasks.api import add_task_routes
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.api.api_harness import Client, problem
from tests.integration.store.unreadable_harness import (
    SECRET,
    UNREADABLE_EVENT_VALUES,
    UNREADABLE_VALUES,
    SucceedingProvider,
    allow_nulls,
    put,
    stored,
    until,
)
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import (
    FAST,
    SCHEMA,
    WorkerHarness,
    code_of,
    open_worker_harness,
    task_params,
)

PICTURE_DATA = {"image_url": "https://replicate.delivery/a.jpg"}


@asynccontextmanager
async def running_server(
    path: Path,
) -> AsyncIterator[tuple[Client, WorkerHarness, SucceedingProvider]]:
    """A server with a running worker on this database."""
    provider = SucceedingProvider()
    async with open_worker_harness(path, provider, FakeClock(), FAST) as harness:
        app = web.Application()
        add_task_routes(app, harness.store, harness.worker)
        async with TestClient(TestServer(app)) as client:
            yield client, harness, provider


async def store_with_queued_tasks(path: Path, count: int) -> tuple[list[Task], Task]:
    """Make a database with `count` queued tasks and one more after them; returns both."""
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        tasks = [await store.add(task_params()) for _ in range(count)]
        return tasks, await store.add(task_params())


async def all_have_ended(harness: WorkerHarness) -> bool:
    """Whether every task has ended."""
    rows = await harness.store._database.read(
        "SELECT count(*) FROM tasks WHERE status IS NULL OR status NOT IN ('completed', 'failed')"
    )
    return bool(rows[0][0] == 0)


@pytest.mark.parametrize("column", UNREADABLE_VALUES)
async def test_an_unreadable_queued_task_fails_alone(path: Path, column: str) -> None:
    """D1: For any unreadable value the task fails and is shown, and the next task completes."""
    values = UNREADABLE_VALUES[column]
    tasks, good = await store_with_queued_tasks(path, len(values))
    await asyncio.to_thread(allow_nulls, path)
    for task, value in zip(tasks, values, strict=True):
        await asyncio.to_thread(put, path, "tasks", column, value, task.number)

    with capture_logs() as logs:
        async with running_server(path) as (client, harness, provider):
            done = await harness.ended(good)
            async with client.get("/api/tasks", params={"limit": 200}) as page:
                listed = (await page.json())["tasks"]
            for task in tasks if column != "id" else []:
                async with client.get(f"/api/tasks/{task.id}") as shown:
                    document = await shown.json()
                assert (shown.status, document["status"]) == (200, "failed"), document
                assert document["error_data"]["code"] == "internal_error"
                async with client.get(f"/api/tasks/{task.id}/events") as events:
                    assert (await events.json())["events"][-1]["event"] == "failed"
                assert await harness.store.queue_position(task.id) is None
            failed = await harness.store.list(statuses={TaskStatus.FAILED}, limit=200)
            unfinished = await harness.store.unfinished()

    assert done.status is TaskStatus.COMPLETED
    assert provider.created == [good.id]
    assert len(listed) == len(values) + 1
    assert {code_of(task) for task in failed} == {"internal_error"}
    assert len(failed) == len(values) == harness.worker.counts["unreadable"]
    assert unfinished == []
    announced = [task for task in harness.announced if task.id != good.id]
    assert {task.status for task in announced} == {TaskStatus.FAILED}
    lines = [line for line in logs if line["event"] == "task.set_aside"]
    assert [line["columns"] for line in lines] == [[column]] * len(values)
    assert SECRET not in str(logs)


@pytest.mark.parametrize("column", UNREADABLE_VALUES)
async def test_a_running_task_needs_only_some_columns(path: Path, column: str) -> None:
    """A running task gets its result unless a column that it needs is unreadable."""
    values = UNREADABLE_VALUES[column]
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        tasks = []
        for number in range(len(values)):
            task = await store.add(task_params())
            for to in (TaskStatus.SUBMITTING, TaskStatus.RUNNING):
                moved = await store.move(task, to, prediction_id=f"p-{number}")
                assert moved is not None
                task = moved
            tasks.append(task)
    await asyncio.to_thread(allow_nulls, path)
    for task, value in zip(tasks, values, strict=True):
        await asyncio.to_thread(put, path, "tasks", column, value, task.number)

    async with running_server(path) as (client, harness, provider):
        await until(lambda: all_have_ended(harness))
        async with client.get("/api/tasks", params={"limit": 200}) as page:
            listed = (await page.json())["tasks"]

    is_needed = column in {"id", "type", "status", "prediction_id", "cycle"}
    assert provider.created == []
    assert {task["status"] for task in listed} == {"failed" if is_needed else "completed"}
    if not is_needed:
        assert all(task["result_data"]["image_url"] for task in listed)


async def test_no_create_is_sent_without_the_input(path: Path) -> None:
    """A submitting task with an unreadable input is searched for, but not created again."""
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        task = await store.move(await store.add(task_params()), TaskStatus.SUBMITTING)
        assert task is not None
    await asyncio.to_thread(put, path, "tasks", "provider_input", "{", task.number)

    async with running_server(path) as (_client, harness, provider):
        provider.answers["find"] = [[]]
        ended = await harness.ended(task)

    assert provider.created == []
    assert provider.count("find") == len(FAST.reconcile_waits_s)
    assert code_of(ended) == "internal_error"


@pytest.mark.parametrize("column", UNREADABLE_VALUES)
async def test_a_completed_task_needs_only_its_result(path: Path, column: str) -> None:
    """A completed task is shown as completed while its status and result are readable."""
    values = UNREADABLE_VALUES[column]
    async with await open_task_store(path, SCHEMA, clock=FakeClock()) as store:
        tasks = []
        for number in range(len(values)):
            task = await store.add(task_params())
            for to in (TaskStatus.SUBMITTING, TaskStatus.RUNNING, TaskStatus.COMPLETED):
                result = PICTURE_DATA if to is TaskStatus.COMPLETED else None
                moved = await store.move(task, to, prediction_id=f"p-{number}", result_data=result)
                assert moved is not None
                task = moved
            tasks.append(task)
    await asyncio.to_thread(allow_nulls, path)
    for task, value in zip(tasks, values, strict=True):
        await asyncio.to_thread(put, path, "tasks", column, value, task.number)

    async with running_server(path) as (client, harness, _provider):
        if column == "status":
            await until(lambda: all_have_ended(harness))
        async with client.get("/api/tasks", params={"limit": 200}) as page:
            listed = (await page.json())["tasks"]

    is_lost = column in {"status", "result_data"}
    assert [task["status"] for task in listed] == ["failed" if is_lost else "completed"] * len(
        values
    )
    if not is_lost:
        assert all(task["result_data"] == PICTURE_DATA for task in listed)


@pytest.mark.parametrize("column", UNREADABLE_EVENT_VALUES)
async def test_an_unreadable_event_does_not_affect_its_task(path: Path, column: str) -> None:
    """The events are listed, and the task completes."""
    values = UNREADABLE_EVENT_VALUES[column]
    tasks, _ = await store_with_queued_tasks(path, len(values))
    await asyncio.to_thread(allow_nulls, path)
    for task, value in zip(tasks, values, strict=True):
        await asyncio.to_thread(put, path, "events", column, value, task.id)

    with capture_logs() as logs:
        async with running_server(path) as (client, harness, _provider):
            for task in tasks:
                assert (await harness.ended(task)).status is TaskStatus.COMPLETED
                async with client.get(f"/api/tasks/{task.id}/events") as page:
                    assert page.status == 200
                    events = (await page.json())["events"]
                assert [event["event"] for event in events[-3:]] == [
                    "submitting",
                    "running",
                    "completed",
                ]

    assert SECRET not in str(logs)


async def test_a_task_that_was_set_aside_is_not_retried(path: Path) -> None:
    """A retry needs a readable row; a value that set_aside has replaced is readable again."""
    (lost, late), good = await store_with_queued_tasks(path, 2)
    await asyncio.to_thread(put, path, "tasks", "input", "{", lost.number)
    await asyncio.to_thread(put, path, "tasks", "not_before", "zzzz", late.number)

    async with running_server(path) as (client, harness, _provider):
        await harness.ended(good)
        refused = await problem(await client.post(f"/api/tasks/{lost.id}/retry"), 409)
        accepted = await client.post(f"/api/tasks/{late.id}/retry")
        canceled = await client.post(f"/api/tasks/{lost.id}/cancel")
        await until(lambda: all_have_ended(harness))
        done = await harness.now(late)

    assert refused["type"].endswith(":unreadable-task")
    assert (accepted.status, canceled.status) == (202, 200)
    assert done.status is TaskStatus.COMPLETED


async def test_an_endless_wait_is_ignored(path: Path) -> None:
    """A task with a `not_before` in the far future runs at once."""
    (late,), _ = await store_with_queued_tasks(path, 1)
    await asyncio.to_thread(
        put, path, "tasks", "not_before", "9999-12-31T23:59:59.999Z", late.number
    )

    async with running_server(path) as (_client, harness, _provider):
        done = await harness.ended(late)

    assert done.status is TaskStatus.COMPLETED


async def test_a_task_that_cannot_be_set_aside_does_not_block_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a task is abandoned until the next start and logged; other tasks run."""
    (lost,), good = await store_with_queued_tasks(path, 1)
    await asyncio.to_thread(put, path, "tasks", "input", "{", lost.number)

    async def refuse(_store: TaskStore, _task: Task) -> Task:
        raise RuntimeError

    monkeypatch.setattr(TaskStore, "set_aside", refuse)
    with capture_logs() as logs:
        async with running_server(path) as (_client, harness, _provider):
            done = await harness.ended(good)
            counts = dict(harness.worker.counts)

    assert done.status is TaskStatus.COMPLETED
    assert counts["abandoned"] == 1
    assert [line["task_id"] for line in logs if line["event"] == "task.abandoned"] == [lost.id]


@pytest.mark.parametrize(
    ("column", "value"), [("created_at", "zzzz"), ("created_at", b"\xff"), ("task_id", "gone")]
)
async def test_an_idempotency_key_with_an_invalid_task_or_time_is_deleted(
    path: Path, column: str, value: object
) -> None:
    """A request with such a key makes a new task."""
    body = {"input_data": {"type": "image", "prompt": "monk"}}
    headers = {"Idempotency-Key": "once"}
    async with running_server(path) as (client, _workshop, _provider):
        first = await (await client.post("/api/tasks", json=body, headers=headers)).json()
        replayed = await (await client.post("/api/tasks", json=body, headers=headers)).json()
    await asyncio.to_thread(put, path, "idempotency_keys", column, value, first["task_id"])

    async with running_server(path) as (client, _workshop, _provider):
        answer = await client.post("/api/tasks", json=body, headers=headers)
        second = await answer.json()

    assert replayed["task_id"] == first["task_id"]
    assert answer.status == 202
    assert second["task_id"] != first["task_id"]
    assert stored(path, "SELECT count(*) FROM idempotency_keys") == [(1,)]
