"""The filters of GET /api/tasks that no index has: type, model, text, and the owner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.model.task_types import determine_task_params
from phoenix_compat.tasks.model.task_types_file import packaged_task_types
from phoenix_compat.tasks.store.statements import filtered_queries
from tests.integration.api.api_harness import Client, problem
from tests.integration.ownership.ownership_harness import ADA, BOB, as_owner, open_owners
from tests.integration.store.stored_tasks import moved
from tests.integration.store.unreadable_harness import put
from tests.integration.worker.worker_harness import WorkerHarness

TASK_TYPES = packaged_task_types()


async def add(harness: WorkerHarness, prompt: str, **inputs: Any) -> str:
    """Add a task; returns its id."""
    posted = {"type": "image", "prompt": prompt, **inputs}
    return (await harness.store.add(determine_task_params(posted, TASK_TYPES))).id


async def found(client: Client, **query: str) -> list[str]:
    """The ids on all pages, following the cursors."""
    ids: list[str] = []
    while True:
        answer = await (await client.get("/api/tasks", params=query)).json()
        ids += [task["task_id"] for task in answer["tasks"]]
        if "next_cursor" not in answer:
            return ids
        query["cursor"] = answer["next_cursor"]


async def test_a_search_by_type_model_and_text(client: Client, harness: WorkerHarness) -> None:
    """Each filter alone, and all of them together, newest first."""
    monk = await add(harness, "Medieval MONK")
    cat = await add(harness, "A cat 100% asleep", model="black-forest-labs/flux-schnell")
    words = await add(harness, "A monk's words", type="text")

    assert await found(client, type="image") == [cat, monk]
    assert await found(client, type="image_gen") == [cat, monk]
    assert await found(client, text="monk") == [words, monk]
    assert await found(client, text="100%") == [cat]
    assert await found(client, text="%") == [cat]
    assert await found(client, model="black-forest-labs/flux-schnell") == [cat]
    assert await found(client, type="image", text="monk", status="processing") == [monk]
    assert await found(client, type="image", status="failed") == []


async def test_a_search_goes_on_after_the_tasks_that_it_has_read(
    client: Client, harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page without a match has a cursor, and all matches are found once."""
    monkeypatch.setattr(filtered_queries, "MAX_PROMPTS_SEARCHED", 3)
    first = await add(harness, "needle 1")
    for number in range(7):
        await add(harness, f"hay {number}")
    last = await add(harness, "needle 2")
    for number in range(3):
        await add(harness, f"hay {number}")

    page = await (await client.get("/api/tasks", params={"text": "needle"})).json()

    assert (page["tasks"], "next_cursor" in page) == ([], True)
    assert await found(client, text="needle") == [last, first]
    assert await found(client, text="needle", limit="1") == [last, first]


async def test_a_broken_row_does_not_stop_a_search(
    client: Client, harness: WorkerHarness, path: Path
) -> None:
    """A task whose input is not JSON matches no text, and the others are found."""
    task_id = await add(harness, "needle")
    broken = await harness.store.get(await add(harness, "needle"))
    assert broken is not None
    put(path, "tasks", "input", "{", broken.number)

    assert await found(client, text="needle") == [task_id]


@pytest.mark.parametrize(
    "query", [{"text": ""}, {"text": "x" * 201}, {"type": ""}, {"model": "x" * 201}]
)
async def test_filters_are_checked(client: Client, query: dict[str, str]) -> None:
    """A text that is empty or too long is 422, and the answer names the field and its limit."""
    answer = await problem(await client.get("/api/tasks", params=query), 422)

    assert answer["detail"] == f"{next(iter(query))}: must have 1 to 200 characters"


async def test_an_operator_lists_the_tasks_of_one_owner(path: Path) -> None:
    """Everybody else gets 403, and a search finds only the tasks of whoever searches."""
    async with open_owners(path) as owners:
        ada, bob = await owners.add(ADA), await owners.add(BOB)
        await moved(owners.harness.store, bob, TaskStatus.FAILED)

        async def ids(query: str, headers: dict[str, str]) -> list[str]:
            async with owners.http.get(f"/api/tasks?{query}", headers=headers) as answer:
                return [task["task_id"] for task in (await answer.json())["tasks"]]

        operator = as_owner("key:admin", Scope.OPERATE.value)
        own = await ids("type=image", as_owner(ADA))
        listed = await ids(f"owner={BOB}", operator)
        searched = await ids(f"owner={BOB}&type=image&status=failed", operator)
        async with owners.http.get(f"/api/tasks?owner={ADA}", headers=as_owner(ADA)) as answer:
            refused = await problem(answer, 403)

    assert (own, listed, searched) == ([ada.id], [bob.id], [bob.id])
    assert "operate" in refused["detail"]
