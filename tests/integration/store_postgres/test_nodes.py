"""Several servers write the same database at the same time, and none of them is fooled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from phoenix_compat.server.auth.keys.api_keys import KeyNameTakenError
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.tasks.model.caps import Caps, Limits
from phoenix_compat.tasks.model.errors import (
    CapReachedError,
    NotFailedError,
    PredictionTakenError,
    UploadsFullError,
)
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.store.outbox.deliveries import DeliveryStore
from phoenix_compat.tasks.store.outbox.outbox import EVENTS, Outbox, Subscription
from phoenix_compat.tasks.store.spending import ALL, Spent
from phoenix_compat.tasks.store.task_store import IdempotencyKey, TaskStore
from phoenix_compat.tasks.store.upload_store import UploadStore
from tests.integration.store.stored_tasks import moved
from tests.integration.store_postgres.conftest import OpenNode
from tests.integration.worker.worker_harness import task_params

READ = frozenset({Scope.READ})
HOOK = "crm"


@pytest.fixture
async def nodes(open_node: OpenNode) -> Sequence[TaskStore]:
    """Three stores with one database."""
    return [await open_node() for _ in range(3)]


async def outcomes(calls: Sequence[Awaitable[Any]]) -> Counter[type]:
    """How often each type was returned or raised."""
    return Counter(type(one) for one in await asyncio.gather(*calls, return_exceptions=True))


async def test_one_key_makes_one_task_on_all_nodes(nodes: Sequence[TaskStore]) -> None:
    """Repeated requests with an Idempotency-Key may reach different nodes at once."""
    key = IdempotencyKey("order-1", "f" * 64)

    results = await asyncio.gather(
        *(node.add_once(task_params(), key) for node in nodes for _ in range(10))
    )

    assert len({task.id for task, _ in results}) == 1
    assert Counter(existed for _, existed in results) == {True: 29, False: 1}
    assert len(await nodes[0].list()) == 1
    assert await nodes[0].spending("2026-01-05", ALL) == Spent(1, 20_000)


async def test_a_task_is_moved_and_retried_by_one_node(nodes: Sequence[TaskStore]) -> None:
    """The others get None, or the error of a task that has not failed."""
    task = await nodes[0].add(task_params())

    failing = [node.move(task, TaskStatus.FAILED) for node in nodes]
    assert await outcomes(failing) == {Task: 1, type(None): 2}
    retrying = [node.retry(task.id, task_params()) for node in nodes]
    assert await outcomes(retrying) == {Task: 1, NotFailedError: 2}

    events = [event.event for event in await nodes[0].events(task.id)]
    assert events == ["queued", "failed", "queued"]


async def test_a_prediction_belongs_to_one_task_on_all_nodes(nodes: Sequence[TaskStore]) -> None:
    """It was paid for once, so only one task of one node gets it."""
    tasks = [
        await moved(node, await node.add(task_params()), TaskStatus.SUBMITTING) for node in nodes
    ]

    running = [
        node.move(task, TaskStatus.RUNNING, prediction_id="p-1")
        for node, task in zip(nodes, tasks, strict=True)
    ]

    assert await outcomes(running) == {Task: 1, PredictionTakenError: 2}


async def test_a_cap_is_exact_on_all_nodes_together(nodes: Sequence[TaskStore]) -> None:
    """With a dollar for pictures of two cents fifty orders are stored, wherever they come."""
    for node in nodes:
        node.budget.set_caps(
            Caps(
                owner_per_month=Limits(tasks=1_000),
                total_per_day=Limits(microdollars=1_000_000),
            )
        )

    orders = [
        node.add(task_params(), owner=owner) for _ in range(7) for owner in "abc" for node in nodes
    ]
    assert await outcomes(orders) == {Task: 50, CapReachedError: 13}

    assert await nodes[0].spending("2026-01-05", ALL) == Spent(50, 1_000_000)
    assert len(await nodes[0].list(limit=100)) == 50
    assert sum(node.budget.refused for node in nodes) == 13


async def test_costs_are_given_back_while_others_order(nodes: Sequence[TaskStore]) -> None:
    """The sums are right, whoever waits for whom."""
    tasks = [
        await nodes[number % 3].add(task_params(), owner="abc"[number % 3]) for number in range(30)
    ]

    ending = [
        nodes[number % 3].move(task, TaskStatus.FAILED) for number, task in enumerate(tasks[::2])
    ]
    more = [node.add(task_params(), owner=owner) for owner in "abc" for node in nodes]
    assert await outcomes([*ending, *more]) == {Task: 24}

    assert await nodes[0].spending("2026-01", ALL) == Spent(39, 24 * 20_000)


async def test_a_key_has_one_owner_on_all_nodes(nodes: Sequence[TaskStore]) -> None:
    """Of two that make a key with the same name one gets an error, not a key that is useless."""
    keys = [KeyStore(node) for node in nodes]

    made = await outcomes([key_store.create("phone", READ) for key_store in keys])

    assert made == {str: 1, KeyNameTakenError: 2}


async def test_the_files_of_a_day_are_limited_on_all_nodes(nodes: Sequence[TaskStore]) -> None:
    """The limit is for an owner, not for each node."""
    uploads = [UploadStore(node, 1_000, node._clock) for node in nodes]

    sent = [
        upload.add("ann", f"{number}{place}".rjust(64, "0"), "image/png", 100)
        for place, upload in enumerate(uploads)
        for number in range(6)
    ]

    assert await outcomes(sent) == {type(None): 10, UploadsFullError: 8}


async def test_no_event_waits_for_one_that_was_delivered(
    nodes: Sequence[TaskStore], sql: Callable[..., Awaitable[Any]]
) -> None:
    """One node adds an event while another one delivers the event before it."""
    for node in nodes:
        node.outbox = Outbox([Subscription(HOOK, EVENTS)], lambda task: {"id": task.id})
    deliveries = DeliveryStore(nodes[1], nodes[1]._clock)
    tasks = [await nodes[0].add(task_params()) for _ in range(20)]
    due = await deliveries.due(HOOK, 100)

    await asyncio.gather(
        *(nodes[0].move(task, TaskStatus.FAILED) for task in tasks),
        *map(deliveries.delivered, due),
    )

    stuck = await sql("SELECT number FROM webhook_deliveries WHERE next_attempt_at IS NULL")
    assert len(due) == 20
    assert stuck == []


async def test_each_node_reads_what_another_one_has_committed(nodes: Sequence[TaskStore]) -> None:
    """At once, and whatever it has read before."""
    for number in range(20):
        writer, reader = nodes[number % 3], nodes[(number + 1) % 3]
        assert await reader.newest_number() == number
        task = await writer.add(task_params())
        assert await reader.get(task.id) == task
