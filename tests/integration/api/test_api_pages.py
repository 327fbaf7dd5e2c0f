"""A page of GET /api/tasks: without inputs, at most 1 MiB, and complete over all pages."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from phoenix_compat.server.http.tasks import api, task_page
from phoenix_compat.server.http.tasks.task_page import MAX_PAGE_BYTES
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.task_store import PageOfTasks
from tests.integration.api.api_harness import Client
from tests.integration.store.stored_tasks import moved
from tests.integration.worker.worker_harness import WorkerHarness
from tests.patience import patient


async def completed(harness: WorkerHarness, **result: object) -> Task:
    """Add a task that has completed with this result."""
    task = await harness.add()
    running = await moved(harness.store, task, TaskStatus.SUBMITTING, TaskStatus.RUNNING)
    ended = await harness.store.move(running, TaskStatus.COMPLETED, result_data=dict(result))
    assert ended is not None
    return ended


async def page(client: Client, query: str) -> tuple[dict[str, Any], int]:
    """A page, and the length of its body in bytes."""
    async with client.get(f"/api/tasks?{query}") as answer:
        body = await answer.read()
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    return json.loads(body), len(body)


async def all_pages(client: Client, query: str) -> list[list[dict[str, Any]]]:
    """The tasks of every page, following the cursors."""
    pages, cursor = [], ""
    while True:
        document, size_bytes = await page(client, query + cursor)
        assert size_bytes <= MAX_PAGE_BYTES
        pages.append(document["tasks"])
        if "next_cursor" not in document:
            return pages
        cursor = f"&cursor={document['next_cursor']}"


async def test_a_list_has_no_inputs(client: Client, harness: WorkerHarness) -> None:
    """It has everything else that GET of the task has."""
    task = await completed(harness, image_url="https://replicate.delivery/é.jpg")

    document, _ = await page(client, "limit=5")
    shown = await (await client.get(f"/api/tasks/{task.id}")).json()

    assert shown.pop("input_data")["prompt"]
    assert document == {"tasks": [shown]}


async def test_a_page_of_large_results_is_short(client: Client, harness: WorkerHarness) -> None:
    """It has fewer tasks than the limit, and a cursor; no task is missing or listed twice."""
    tasks = [await completed(harness, text="é" * 100_000, number=n) for n in range(12)]

    pages = await all_pages(client, "limit=200")

    listed = [task["task_id"] for one in pages for task in one]
    assert listed == [task.id for task in reversed(tasks)]
    assert [len(one) for one in pages] == [5, 5, 2]
    assert all(len(task["result_data"]["text"]) == 100_000 for one in pages for task in one)


@pytest.mark.parametrize("limit", [1, 2, 200])
async def test_a_task_that_is_too_long_for_a_page_is_listed_without_its_result(
    client: Client, harness: WorkerHarness, limit: int
) -> None:
    """It names what was omitted; the tasks around it are listed, and GET shows all of it."""
    before = await completed(harness, text="before")
    long = await completed(harness, text='"' * MAX_PAGE_BYTES)
    after = await completed(harness, text="after")

    pages = await all_pages(client, f"limit={limit}")
    whole = await (await client.get(f"/api/tasks/{long.id}")).json()

    listed = {task["task_id"]: task for one in pages for task in one}
    assert list(listed) == [after.id, long.id, before.id]
    assert listed[long.id]["omitted"] == ["result_data"]
    assert "result_data" not in listed[long.id]
    assert listed[before.id]["result_data"] == {"text": "before"}
    assert len(whole["result_data"]["text"]) == MAX_PAGE_BYTES


@pytest.mark.parametrize("query", ["limit=3", "limit=3&status=completed", "limit=2&status=queued"])
async def test_a_full_page_has_a_cursor(client: Client, harness: WorkerHarness, query: str) -> None:
    """Whether or not there are more tasks, as before."""
    for _ in range(3):
        await completed(harness, text="short")
        await harness.add()

    document, _ = await page(client, query)

    assert "next_cursor" in document


async def test_a_large_page_is_made_off_the_loop(
    client: Client, harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small one is not, because handing it over would take longer than making it."""
    threads: list[bool] = []

    def recorded(found: PageOfTasks, *, base_url: str, with_owner: bool) -> bytes:
        threads.append(threading.current_thread() is threading.main_thread())
        return task_page.page_body(found, base_url=base_url, with_owner=with_owner)

    monkeypatch.setattr(api, "page_body", recorded)
    await completed(harness, text="short")
    await page(client, "limit=50")
    await completed(harness, text="x" * 100_000)
    await page(client, "limit=50")

    assert threads == [True, False]


async def test_lists_of_long_inputs_do_not_stop_the_server(
    client: Client, harness: WorkerHarness
) -> None:
    """F7: With 200 inputs of 250 kB, 20 lists at once hold up the event loop for a moment only."""
    for _ in range(200):
        await harness.add(notes="x" * 250_000)
    longest_s, is_done = 0.0, False

    async def measure() -> None:
        nonlocal longest_s
        while not is_done:
            began_s = time.perf_counter()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.perf_counter() - began_s)

    measuring = asyncio.create_task(measure())
    answers = await asyncio.gather(*(page(client, "limit=200") for _ in range(20)))
    is_done = True
    await measuring

    assert {len(document["tasks"]) for document, _ in answers} == {200}
    assert {size_bytes < 200_000 for _, size_bytes in answers} == {True}
    assert longest_s < patient(0.25)
