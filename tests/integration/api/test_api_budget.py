"""The HTTP API: orders beyond a cap, and models and inputs that the operator does not allow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from phoenix_compat.server.http.tasks.api import add_task_routes
from phoenix_compat.tasks.model.caps import Caps, Limits
from phoenix_compat.tasks.model.model_policy import ModelPolicy, PolicyRules
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES
from tests.integration.api.api_harness import MONK, Client, problem
from tests.integration.store.stored_tasks import moved
from tests.integration.worker.fake_provider import FakeClock, FakeProvider, ref
from tests.integration.worker.worker_harness import WorkerHarness, open_worker_harness

MIDNIGHT = "2026-01-06T00:00:00Z"


def monk(**inputs: Any) -> dict[str, Any]:
    return {"input_data": MONK["input_data"] | inputs}


@pytest.fixture
async def closed(path: Path) -> AsyncIterator[Client]:
    """A client of an API that allows a few models, those with a price, and two outputs."""
    models = ("google/*", "you/*", "black-forest-labs/flux-dev")
    rules = PolicyRules(allowed_models=models, needs_price=True, max_outputs=2)
    provider = FakeProvider(submit=[ref()])
    async with open_worker_harness(path, provider, FakeClock(), is_started=False) as harness:
        app = web.Application()
        add_task_routes(app, harness.store, harness.worker, policy=ModelPolicy(TASK_TYPES, rules))
        async with TestClient(TestServer(app)) as client:
            yield client


async def test_an_order_beyond_the_money_is_402(client: Client, harness: WorkerHarness) -> None:
    """The text names the limit, its period, its end, and what the task would cost."""
    harness.store.budget.set_caps(Caps(owner_per_day=Limits(microdollars=25_000)))
    await client.post("/api/tasks", json=MONK)

    response = await client.post("/api/tasks", json=MONK)

    document = await problem(response, 402)
    assert document["type"].endswith(":cap-reached")
    assert document["detail"] == (
        "This task would exceed your limit, 0.025 US dollars a day, which resets at "
        f"{MIDNIGHT}. Its estimated cost is 0.02 US dollars."
    )
    assert "Retry-After" not in response.headers
    assert len(await harness.store.list()) == 1


async def test_an_order_beyond_the_number_of_tasks_is_429(
    client: Client, harness: WorkerHarness
) -> None:
    """Retry-After has the seconds until the limit for everyone resets."""
    harness.store.budget.set_caps(Caps(total_per_day=Limits(tasks=1)))
    await client.post("/api/tasks", json=MONK)

    response = await client.post("/api/tasks", json=MONK, headers={"Idempotency-Key": "k"})

    document = await problem(response, 429)
    assert document["type"].endswith(":quota-reached")
    assert document["detail"] == (
        "This task would exceed the limit for everyone together, 1 task a day, which resets at "
        f"{MIDNIGHT}."
    )
    assert response.headers["Retry-After"] == str(14 * 3_600)


async def test_a_retry_beyond_a_cap_is_refused(client: Client, harness: WorkerHarness) -> None:
    """The failed task stays as it is."""
    task = await moved(harness.store, await harness.add(), TaskStatus.FAILED)
    harness.store.budget.set_caps(Caps(owner_per_month=Limits(microdollars=0)))

    response = await client.post(f"/api/tasks/{task.id}/retry")

    assert "a month" in (await problem(response, 402))["detail"]
    assert await harness.now(task) == task


@pytest.mark.parametrize(
    ("inputs", "status", "field"),
    [
        ({"model": "black-forest-labs/flux-schnell"}, 403, "input_data.model"),
        ({"model": "you/unpriced"}, 403, "input_data.model"),
        ({"model": "google/gemini"}, 403, "input_data.model"),
        ({"safety_filter_level": "block_none"}, 403, "input_data.safety_filter_level"),
    ],
)
async def test_what_the_operator_does_not_allow_is_403(
    closed: Client, inputs: dict[str, Any], status: int, field: str
) -> None:
    """The problem names the field and says what to do."""
    response = await closed.post("/api/tasks", json=monk(**inputs))

    document = await problem(response, status)
    assert (document["type"].rpartition(":")[2], document["field"]) == ("not-allowed", field)
    assert (await (await closed.get("/api/tasks")).json())["tasks"] == []


async def test_a_retry_follows_the_rules_of_today(path: Path) -> None:
    """A model that is no longer allowed is not run again."""
    types = TASK_TYPES
    policy = ModelPolicy(types)
    provider = FakeProvider(submit=[ref()])
    async with open_worker_harness(path, provider, FakeClock(), is_started=False) as harness:
        app = web.Application()
        add_task_routes(app, harness.store, harness.worker, policy=policy)
        task = await moved(harness.store, await harness.add(model="a/b"), TaskStatus.FAILED)
        async with TestClient(TestServer(app)) as client:
            policy.rules = PolicyRules(is_open=False)
            response = await client.post(f"/api/tasks/{task.id}/retry")

            assert (await problem(response, 403))["field"] == "input_data.model"


@pytest.mark.parametrize("count", [3, 1_000_000])
async def test_too_many_outputs_are_422(closed: Client, count: int) -> None:
    """A number above the ceiling is an invalid input; for a model without it, it is not sent."""
    flux = monk(model="black-forest-labs/flux-dev", num_outputs=count)

    response = await closed.post("/api/tasks", json=flux)
    imagen = await closed.post("/api/tasks", json=monk(num_outputs=count))

    document = await problem(response, 422)
    assert document["field"] == "input_data.num_outputs"
    assert "from 1 to 2" in document["detail"]
    assert imagen.status == 202
