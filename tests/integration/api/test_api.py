"""The HTTP API: what it accepts and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from phoenix_compat.tasks.model.task import TaskStatus, progress_payload
from tests.integration.api.api_harness import MONK, Client, problem
from tests.integration.worker.worker_harness import WorkerHarness


async def test_a_task_is_accepted(client: Client, harness: WorkerHarness) -> None:
    """The 202 says where to follow the task, which is stored before."""
    response = await client.post("/api/tasks", json=MONK)

    answer = await response.json()
    assert response.status == 202
    path = f"/api/tasks/{answer['task_id']}"
    assert answer == {
        "task_id": answer["task_id"],
        "status": "processing",
        "state": "queued",
        "progress": 0.0,
        "task_type": "image_gen",
        "model": "google/imagen-4-fast",
        "created_at": "2026-01-05T10:00:00Z",
        "topic": f"task:{answer['task_id']}",
        "links": {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel"},
    }
    assert response.headers["Location"] == path
    stored = await harness.store.get(answer["task_id"])
    assert stored is not None
    assert stored.input_data == MONK["input_data"]


async def test_a_posted_task_is_run(client: Client, harness: WorkerHarness) -> None:
    """The worker wakes up for it; GET returns the result that was announced to the channel."""
    await harness.worker.start()
    task_id = (await (await client.post("/api/tasks", json=MONK)).json())["task_id"]
    task = await harness.store.get(task_id)
    assert task is not None
    ended = await harness.ended(task)

    shown = await (await client.get(f"/api/tasks/{task_id}")).json()

    assert (shown["status"], shown["state"], shown["progress"]) == ("completed", "completed", 1.0)
    assert shown["result_data"] == progress_payload(ended)["result_data"]
    assert shown["prediction_id"] == "p-1"
    assert shown["input_data"] == MONK["input_data"]


async def test_fields_that_clients_must_not_set_are_ignored(
    client: Client, harness: WorkerHarness
) -> None:
    """A posted status, result or id has no effect."""
    body = MONK | {"status": "completed", "result_data": {"image_url": "x"}, "id": "mine"}

    answer = await (await client.post("/api/tasks", json=body)).json()

    stored = await harness.store.get(answer["task_id"])
    assert stored is not None
    assert (stored.status, stored.result_data) == (TaskStatus.QUEUED, None)
    assert stored.id != "mine"


async def test_the_list_is_newest_first_and_pages(client: Client, harness: WorkerHarness) -> None:
    """The cursor of one page leads to the next; the last page has none."""
    tasks = [await harness.add() for _ in range(5)]

    first = await (await client.get("/api/tasks?limit=3")).json()
    rest = await (await client.get(f"/api/tasks?limit=3&cursor={first['next_cursor']}")).json()

    shown = [task["task_id"] for task in first["tasks"] + rest["tasks"]]
    assert shown == [task.id for task in reversed(tasks)]
    assert "next_cursor" not in rest


@pytest.mark.parametrize(
    ("status", "count"),
    [("processing", 2), ("queued", 2), ("failed", 1), ("completed", 0), ("running", 0)],
)
async def test_the_list_can_be_filtered_by_status(
    client: Client, harness: WorkerHarness, status: str, count: int
) -> None:
    """Both the statuses of the channel and the states of the store are accepted."""
    tasks = [await harness.add() for _ in range(3)]
    await harness.worker.cancel(tasks[0].id)

    answer = await (await client.get("/api/tasks", params={"status": status})).json()

    assert len(answer["tasks"]) == count


async def test_a_task_can_be_canceled(client: Client, harness: WorkerHarness) -> None:
    """A queued task has ended when the response comes; a second cancel gets the same response."""
    task = await harness.add()

    for _ in range(2):
        response = await client.post(f"/api/tasks/{task.id}/cancel")
        answer = await response.json()
        assert response.status == 200
        assert answer["error_data"]["code"] == "canceled"
    await problem(await client.post("/api/tasks/no-such/cancel"), 404)


async def test_the_history_of_a_task(client: Client, harness: WorkerHarness) -> None:
    """Every event with its time, oldest first, after the given one."""
    task = await harness.add()
    await harness.worker.cancel(task.id)

    events = await (await client.get(f"/api/tasks/{task.id}/events?after=1")).json()

    assert [event["event"] for event in events["events"]] == ["cancel_requested", "failed"]
    assert events["events"][-1] == {
        "seq": 3,
        "event": "failed",
        "status": "failed",
        "state": "failed",
        "progress": 0.0,
        "at": "2026-01-05T10:00:00Z",
        "data": {"error": "The task was canceled.", "code": "canceled"},
    }


async def test_a_waiting_task_has_a_queue_position(client: Client, harness: WorkerHarness) -> None:
    """Position 1 runs next; a canceled task has none, and the tasks behind it move up."""
    tasks = [await harness.add() for _ in range(3)]

    before = [await shown(client, task.id) for task in tasks]
    await harness.worker.cancel(tasks[0].id)
    after = [await shown(client, task.id) for task in tasks]

    assert [task.get("queue_position") for task in before] == [1, 2, 3]
    assert [task.get("queue_position") for task in after] == [None, 1, 2]


async def test_an_estimate_of_the_cost_is_shown(client: Client, harness: WorkerHarness) -> None:
    """The price times the number of outputs; missing for a model without a price."""
    four = await harness.add(model="black-forest-labs/flux-schnell", num_outputs=4)
    unknown = await harness.add(model="you/yours")

    assert (await shown(client, four.id))["estimated_cost_usd"] == 0.012
    assert "estimated_cost_usd" not in await shown(client, unknown.id)


async def test_a_failed_task_can_be_retried(client: Client, harness: WorkerHarness) -> None:
    """The same task is queued at 0.0, announced to its clients, and runs to its end."""
    task = await harness.add()
    await harness.worker.cancel(task.id)

    response = await client.post(f"/api/tasks/{task.id}/retry")
    answer = await response.json()

    assert response.status == 202
    assert (answer["task_id"], answer["state"], answer["progress"]) == (task.id, "queued", 0.0)
    assert answer["queue_position"] == 1
    assert {"error_data", "completed_at"}.isdisjoint(answer)
    assert harness.payloads(task)[-1] == progress_payload(await harness.now(task))
    assert await harness.history(task) == ["queued", "cancel_requested", "failed", "queued"]
    harness.announced.clear()
    await harness.worker.start()
    assert (await harness.ended(task)).status is TaskStatus.COMPLETED


async def test_a_retried_task_keeps_its_model(client: Client, harness: WorkerHarness) -> None:
    """The model of the first run is used again."""
    task = await harness.add(model="black-forest-labs/flux-schnell", seed=7)
    await harness.worker.cancel(task.id)

    await client.post(f"/api/tasks/{task.id}/retry")

    again = await harness.now(task)
    assert (again.model, again.provider_input) == (task.model, task.provider_input)
    assert (again.cycle, again.is_cancel_requested) == (2, False)


async def shown(client: Client, task_id: str) -> dict[str, Any]:
    document: dict[str, Any] = await (await client.get(f"/api/tasks/{task_id}")).json()
    return document


@pytest.mark.parametrize("spell", [str.upper, str.title])
async def test_a_task_is_found_by_another_spelling_of_its_id(
    client: Client, harness: WorkerHarness, spell: Callable[[str], str]
) -> None:
    """C12: the digits of a UUID may be written in upper case; the answers have the stored id."""
    task = await harness.add()
    path = f"/api/tasks/{spell(task.id)}"

    shown = await client.get(path)
    events = await client.get(f"{path}/events")
    canceled = await client.post(f"{path}/cancel")

    assert [answer.status for answer in (shown, events, canceled)] == [200, 200, 200]
    assert (await shown.json())["task_id"] == (await canceled.json())["task_id"] == task.id
