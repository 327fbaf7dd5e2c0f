"""What a client may do: its scopes, operators, and tasks that whoever knows the id may watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.tasks.model.task import TaskStatus
from tests.integration.api.api_harness import MONK, problem
from tests.integration.ownership.ownership_harness import (
    ADA,
    BOB,
    Owners,
    as_owner,
    open_owners,
    stored_rows,
)
from tests.integration.store.stored_tasks import moved
from tests.wire import PhoenixWire

NEEDED_SCOPES = {
    ("POST", "/api/tasks"): "create",
    ("GET", "/api/tasks"): "read",
    ("GET", "/api/tasks/{}"): "read",
    ("GET", "/api/tasks/{}/events"): "read",
    ("POST", "/api/tasks/{}/cancel"): "cancel",
    ("POST", "/api/tasks/{}/retry"): "create",
}
OTHERS = {
    "create": "read,cancel,read_metrics,publish",
    "read": "create,cancel,read_metrics,publish",
    "cancel": "create,read,read_metrics,publish",
}
"""All scopes of one owner but this one. `operate` includes it, for the tasks of all."""


async def shown(owners: Owners, path: str, owner: str, scopes: str | None = None) -> Any:
    """The JSON of a GET."""
    async with owners.http.get(path, headers=as_owner(owner, scopes)) as answer:
        return await answer.json(content_type=None)


async def joined(wire: PhoenixWire, topic: str) -> Any:
    """The reply to a join."""
    return (await wire.ask(["1", "1", topic, "phx_join", {}]))[4]


@pytest.mark.parametrize("route", NEEDED_SCOPES, ids=" ".join)
async def test_each_route_needs_its_scope(path: Path, route: tuple[str, str]) -> None:
    """Without it the answer is 403, names the scope and comes before any other error."""
    method, pattern = route
    scope = NEEDED_SCOPES[route]
    async with open_owners(path) as owners:
        task = await owners.add(ADA)
        before = await stored_rows(owners.harness)

        for target in (task.id, "no-such"):
            url = pattern.format(target)
            for scopes in ("", OTHERS[scope]):
                headers = as_owner(ADA, scopes)
                refused = await problem(
                    await owners.http.request(method, url, headers=headers), 403
                )
                assert refused["type"].endswith(":forbidden")
                assert refused["detail"] == (
                    f'Not allowed: the credential does not have the scope "{scope}". '
                    f'Use a credential that has "{scope}".'
                )

        assert await stored_rows(owners.harness) == before
        body = MONK if pattern == "/api/tasks" and method == "POST" else None
        url = pattern.format(task.id)
        allowed = await owners.http.request(method, url, json=body, headers=as_owner(ADA, scope))
        assert allowed.status in {200, 202, 409}


async def test_a_channel_needs_scopes_too(path: Path) -> None:
    """A join needs `read`, and the event `cancel` needs `cancel`."""
    async with open_owners(path) as owners:
        task = await owners.add(ADA)
        blind = await owners.connect(ADA, "create,cancel")
        reader = await owners.connect(ADA, "read")

        refused = await joined(blind, task.topic)
        accepted = await joined(reader, task.topic)
        await reader.recv()
        no_cancel = await reader.ask(["1", "2", task.topic, "cancel", {}])

        assert refused == {"response": {"reason": "forbidden"}, "status": "error"}
        assert accepted["status"] == "ok"
        assert no_cancel[4] == {"response": {"reason": "forbidden"}, "status": "error"}
        assert not (await owners.harness.now(task)).is_cancel_requested


async def test_an_operator_sees_and_changes_the_tasks_of_all(path: Path) -> None:
    """Documents name the owner, for operators only; unowned tasks name none."""
    scopes = "create,read,cancel,operate"
    async with open_owners(path) as owners:
        of_ada, of_nobody = await owners.add(ADA), await owners.add("")
        failed = await moved(owners.harness.store, await owners.add(ADA), TaskStatus.FAILED)
        headers = as_owner("key:admin", scopes)

        listed = (await shown(owners, "/api/tasks", "key:admin", scopes))["tasks"]
        one = await shown(owners, f"/api/tasks/{of_ada.id}", "key:admin", scopes)
        own = await shown(owners, f"/api/tasks/{of_ada.id}", ADA)
        canceled = await owners.http.post(f"/api/tasks/{of_ada.id}/cancel", headers=headers)
        retried = await owners.http.post(f"/api/tasks/{failed.id}/retry", headers=headers)
        wire = await owners.connect("key:admin", scopes)

        assert [task.get("owner") for task in listed] == [ADA, None, ADA]
        assert one["owner"] == ADA
        assert "owner" not in own
        assert (canceled.status, (await canceled.json())["owner"]) == (200, ADA)
        assert (retried.status, (await retried.json())["owner"]) == (202, ADA)
        assert (await owners.harness.now(failed)).owner == ADA
        assert (await joined(wire, of_nobody.topic))["status"] == "ok"


async def test_by_link_whoever_knows_the_id_may_watch(path: Path) -> None:
    """Show, events and join find the task; list, cancel and retry do not."""
    async with open_owners(path, "link") as owners:
        task = await owners.add(ADA)
        failed = await moved(owners.harness.store, await owners.add(ADA), TaskStatus.FAILED)
        before = await stored_rows(owners.harness)
        wire = await owners.connect(BOB)

        document = await shown(owners, f"/api/tasks/{task.id}", BOB)
        events = await shown(owners, f"/api/tasks/{task.id}/events", BOB)
        listed = await shown(owners, "/api/tasks", BOB)

        assert document["task_id"] == task.id
        assert document["queue_position"] == 1
        assert "owner" not in document
        assert len(events["events"]) == 1
        assert listed == {"tasks": []}
        assert (await joined(wire, task.topic))["status"] == "ok"
        for path_of_other in (f"{task.id}/cancel", f"{failed.id}/retry"):
            url = f"/api/tasks/{path_of_other}"
            await problem(await owners.http.post(url, headers=as_owner(BOB)), 404)
        assert await stored_rows(owners.harness) == before


async def test_the_owner_watches_and_cancels_its_task(path: Path) -> None:
    """Joining, status and cancel work for the owner, also when the feed remembers the task."""
    async with open_owners(path) as owners:
        task = await owners.add(ADA)
        owners.feed.announce(task)
        wire = await owners.connect(ADA)

        assert (await joined(wire, task.topic))["status"] == "ok"
        progress = await wire.recv()
        status = await wire.ask(["1", "2", task.topic, "status", {}])
        canceled = await wire.ask(["1", "3", task.topic, "cancel", {}])

        assert progress[4] == status[4]["response"]
        assert canceled[4]["status"] == "ok"
        assert (await owners.harness.now(task)).status is TaskStatus.FAILED


@pytest.mark.parametrize(
    ("owner", "key"), [(ADA, ADA), ("", "Mallory"), ("__proto__", "anonymous")]
)
async def test_watchers_are_shown_by_their_owner(path: Path, owner: str, key: str) -> None:
    """A7: The name that a client gives itself counts only where there are no owners."""
    async with open_owners(path, show_watchers=True, has_auth=bool(owner)) as owners:
        task = await owners.add(owner)
        wire = await owners.connect(owner, user="Mallory")

        await joined(wire, task.topic)
        messages = await wire.recv_many(3)

        events = {message[3]: message[4] for message in messages}
        assert list(events["presence_state"]) == [key]
        assert list(events["presence_diff"]["joins"]) == [key]
