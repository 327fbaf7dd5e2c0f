"""The HTTP API: a POST with an Idempotency-Key creates one task, however often it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import ClientResponse

from phoenix_compat.tasks.model.errors import QueueFullError
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import KEY_RETENTION, IdempotencyKey, TaskStore
from tests.integration.api.api_harness import MONK, Client, problem
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import SCHEMA, WorkerHarness, task_params

OTHER = {"input_data": {"type": "image", "prompt": "Medieval nun"}}
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


async def post(client: Client, key: str, body: object = MONK) -> ClientResponse:
    return await client.post("/api/tasks", json=body, headers={"Idempotency-Key": key})


async def test_a_repeated_post_gets_the_first_response(
    client: Client, harness: WorkerHarness
) -> None:
    """The same key and body get the same 202, and no second task, even when the first has ended."""
    first = await post(client, KEY)
    await harness.worker.cancel((await first.json())["task_id"])

    again = await post(client, KEY)

    assert (first.status, again.status) == (202, 202)
    assert await again.text() == await first.text()
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await harness.store.list()) == 1


async def test_fifty_at_once_are_one_task(client: Client, harness: WorkerHarness) -> None:
    """Of many identical posts at the same time one creates the task, and all return its id."""
    answers = await asyncio.gather(*(post(client, KEY) for _ in range(50)))

    ids = {(await answer.json())["task_id"] for answer in answers}
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
    (task,) = await harness.store.list()
    assert ids == {task.id}
    assert {answer.status for answer in answers} == {202}
    assert replayed.count(None) == 1


async def test_another_body_is_refused(client: Client, harness: WorkerHarness) -> None:
    """D11: a key belongs to one body: 422 names the header (draft-07, section 2.7), and nothing is
    stored."""
    await post(client, KEY)

    document = await problem(await post(client, KEY, OTHER), 422)

    assert document["type"].endswith(":idempotency-key-reused")
    assert document["field"] == "Idempotency-Key"
    assert len(await harness.store.list()) == 1


async def test_the_order_of_json_keys_does_not_matter(client: Client) -> None:
    """Bodies with the same JSON value are the same."""
    one = await client.post(
        "/api/tasks",
        data=b'{"input_data": {"type": "image", "prompt": "x"}}',
        headers={"Idempotency-Key": KEY, "Content-Type": "application/json"},
    )
    two = await client.post(
        "/api/tasks",
        data=b'{ "input_data":{"prompt":"\\u0078","type":"image"} }',
        headers={"Idempotency-Key": KEY, "Content-Type": "application/json"},
    )

    assert await two.json() == await one.json()


async def test_other_keys_and_no_key_create_other_tasks(
    client: Client, harness: WorkerHarness
) -> None:
    """Without a key, or with another key, the same body creates a new task."""
    await post(client, "a")
    await post(client, "b")
    await client.post("/api/tasks", json=MONK)
    await client.post("/api/tasks", json=MONK)

    assert len(await harness.store.list()) == 4


async def test_a_quoted_key_equals_the_unquoted_one(client: Client) -> None:
    """In the draft, keys are quoted strings; many clients omit the quotes."""
    bare = await post(client, KEY)
    quoted = await post(client, f'"{KEY}"')

    assert await quoted.json() == await bare.json()


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "é", '"', '""', 'a"b', "a\tb", "\\"])
async def test_an_invalid_key_is_refused(client: Client, harness: WorkerHarness, key: str) -> None:
    """400 names the header and says what a key must be."""
    document = await problem(await post(client, key), 400)

    assert document["field"] == "Idempotency-Key"
    assert "1 to 255" in document["detail"]
    assert await harness.store.list() == []


async def test_two_keys_are_refused(client: Client) -> None:
    """With two headers it is not clear which one counts."""
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    await problem(await client.post("/api/tasks", json=MONK, headers=headers), 400)


async def test_a_refused_post_does_not_use_up_its_key(client: Client) -> None:
    """After a refused post, the key can be used for the corrected one."""
    refused = await post(client, KEY, {"input_data": {"type": "image"}})
    accepted = await post(client, KEY)

    assert (refused.status, accepted.status) == (422, 202)


@pytest.fixture
async def store_and_clock(tmp_path: Path) -> AsyncIterator[tuple[TaskStore, FakeClock]]:
    clock = FakeClock()
    async with await open_task_store(tmp_path / "keys.db", SCHEMA, clock=clock) as store:
        yield store, clock


async def test_a_key_is_remembered_for_a_day(store_and_clock: tuple[TaskStore, FakeClock]) -> None:
    """Within a day it returns the same task; later it creates a new one, replacing the row."""
    store, clock = store_and_clock
    once = IdempotencyKey(KEY, "f")
    first, _ = await store.add_once(task_params(), once)

    clock.elapsed_s = (KEY_RETENTION - timedelta(seconds=1)).total_seconds()
    second, was_there = await store.add_once(task_params(), once)
    clock.elapsed_s = KEY_RETENTION.total_seconds()
    third, is_there = await store.add_once(task_params(), IdempotencyKey(KEY, "another body"))

    assert (second.id, was_there, is_there) == (first.id, True, False)
    assert third.id != first.id
    rows = await store._database.read("SELECT key, task_id FROM idempotency_keys")
    assert [tuple(row) for row in rows] == [(KEY, third.id)]


async def test_a_key_survives_a_restart(tmp_path: Path) -> None:
    """A client that repeats its post after a restart gets the same task."""
    once = IdempotencyKey(KEY, "f")
    async with await open_task_store(tmp_path / "tasks.db", SCHEMA) as store:
        before, _ = await store.add_once(task_params(), once)

    async with await open_task_store(tmp_path / "tasks.db", SCHEMA) as store:
        assert await store.add_once(task_params(), once) == (before, True)


async def test_a_full_queue_stores_no_key(store_and_clock: tuple[TaskStore, FakeClock]) -> None:
    """Key and task are stored in one transaction; a full queue still returns existing tasks."""
    store, _ = store_and_clock
    first, _ = await store.add_once(task_params(), IdempotencyKey("a", "f"), max_queued=1)

    with pytest.raises(QueueFullError):
        await store.add_once(task_params(), IdempotencyKey("b", "f"), max_queued=1)

    assert await store.add_once(task_params(), IdempotencyKey("a", "f"), max_queued=1) == (
        first,
        True,
    )
    await store.move(first, TaskStatus.FAILED)
    assert (await store.add_once(task_params(), IdempotencyKey("b", "f"), max_queued=1))[1] is False
