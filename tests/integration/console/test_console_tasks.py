"""The list of tasks in the console, and the channel that moves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.console.task_changes import CHANGED, MAX_TASKS, TOPIC, TaskChanges
from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from tests.integration.console.console_harness import Console, console_of
from tests.patience import patient
from tests.wire import PhoenixWire


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A server without authentication."""
    async with console_of(tmp_path_factory.mktemp("tasks")) as opened:
        yield opened


async def rows(console: Console, query: str = "") -> list[Any]:
    """The rows of a page."""
    status, page = await console.ask("GET", f"/api/console/tasks{query}")
    assert status == 200, page
    return list(page["tasks"])


async def changes_until(wire: PhoenixWire, task_id: str, state: str) -> list[Any]:
    """The changes of a task that the channel shows, up to a state."""
    seen: list[Any] = []
    async with asyncio.timeout(patient(20.0)):
        while not seen or seen[-1]["state"] != state:
            _, _, topic, event, payload = await wire.recv()
            assert topic == TOPIC
            if event == CHANGED:
                seen += [task for task in payload["tasks"] if task["task_id"] == task_id]
    return seen


@pytest.mark.asyncio(loop_scope="module")
class TestList:
    """One server for all of these."""

    async def test_a_task_moves_in_the_list_without_a_reload(self, console: Console) -> None:
        """The channel shows its progress, and at the end the paths of its picture."""
        wire = await console.connect()
        await wire.join(TOPIC)

        task_id = await console.client.post("Medieval monk")
        seen = await changes_until(wire, task_id, "completed")
        await wire.close()
        (row,) = [row for row in await rows(console) if row["task_id"] == task_id]

        picture = seen[-1]["picture"]
        assert row["prompt"] == "Medieval monk"
        assert row["picture"] == picture
        for path in (picture["path"], picture["thumbnail"]):
            assert (await console.get(path))[0] == 200
        assert [one["progress"] for one in seen] == sorted(one["progress"] for one in seen)

    async def test_the_filters_are_those_of_the_api(self, console: Console) -> None:
        """A row is found by its prompt, and an unknown status is refused."""
        task_id = await console.client.post("A heron in the reeds")

        found = await rows(console, "?text=HERON")
        status, problem = await console.ask("GET", "/api/console/tasks?status=lost")

        assert [row["task_id"] for row in found] == [task_id]
        assert (status, problem["field"]) == (422, "status")

    async def test_a_failed_task_says_why(self, console: Console) -> None:
        """The row has the code and the sentence."""
        task_id = await console.client.post("#fault:safety_system")
        await console.client.ended(task_id)

        (row,) = await rows(console, "?status=failed&limit=1")

        assert row["task_id"] == task_id
        assert row["error"]["code"] == "content_policy"
        assert row["error"]["error"]

    async def test_a_new_task_is_announced_before_it_changes(self, console: Console) -> None:
        """The channel says how far the list goes, since a task that waits has no change."""
        wire = await console.connect()
        reply = await wire.ask(["1", "1", TOPIC, "phx_join", {}])
        newest = reply[4]["response"]["newest"]
        await console.client.post("One more")

        seen: dict[str, Any] = {}
        async with asyncio.timeout(patient(20.0)):
            while seen.get("newest") != newest + 1:
                message = await wire.recv()
                seen = message[4] if message[3] == "snapshot" else seen
        await wire.close()


def task(number: int) -> Task:
    """A task that runs."""
    now = datetime(2026, 1, 5, tzinfo=UTC)
    return Task(
        id=TaskId(f"task-{number}"),
        number=number,
        type="image",
        task_type="image_gen",
        model="google/imagen-4-fast",
        input_data={"prompt": "x"},
        provider_input={},
        fingerprint="",
        status=TaskStatus.RUNNING,
        created_at=now,
        updated_at=now,
        progress=0.5,
    )


async def test_changes_without_a_watcher_cost_nothing() -> None:
    """They are not collected."""
    changes = TaskChanges(Endpoint())

    changes.note(task(1))

    assert changes.background == ()
    assert changes.left_out == 0


async def test_many_changes_are_one_bounded_event() -> None:
    """The newest state of each task is sent; what is too much is counted, and the page told."""
    endpoint = Endpoint()
    changes = TaskChanges(endpoint)
    events: asyncio.Queue[Any] = asyncio.Queue()
    endpoint.subscribe(TOPIC, events.put_nowait)

    for _ in range(3):
        for number in range(MAX_TASKS + 5):
            changes.note(task(number))
    async with asyncio.timeout(patient(5.0)):
        event = await events.get()
    await changes.stop()

    assert event.event == CHANGED
    assert len(event.payload["tasks"]) == MAX_TASKS
    assert event.payload["left_out"] == changes.left_out == 15
    assert events.empty()
