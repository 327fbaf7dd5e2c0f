"""The leases of two nodes on one database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import asyncpg
import pytest

from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from phoenix_compat.tasks.store.leases.lease_store import Account, Claimed, LeaseStore
from tests.integration.leases.conftest import SHORT_S, TwoNodes, lease_store
from tests.integration.worker.worker_harness import task_params
from tests.patience import patient


class Free:
    """A pace that admits so many creates in all, and remembers how many in the row."""

    passed_over: Mapping[TaskId, int] = {}

    def __init__(self, account: Account, most: int) -> None:
        self._creates = int(account.state.strip("{}") or 0)
        self._most = most

    def may_create(self) -> bool:
        return self._creates < self._most

    def enter(self, task: Task) -> None:
        assert task.status is TaskStatus.QUEUED
        self._creates += 1

    def dump(self) -> str:
        return "{" + str(self._creates) + "}"


async def claim(node: LeaseStore, limit: int = 10, most: int = 1_000) -> Claimed:
    """What a node gets, once no other one is just taking some."""
    async with asyncio.timeout(patient(5.0)):
        while True:
            claimed = await node.claim_due(limit, lambda account: Free(account, most))
            if claimed is not None:
                return claimed


def leases(*tasks: Task) -> dict[TaskId, int]:
    return {task.id: task.lease for task in tasks}


def taken(claimed: Claimed) -> list[Task]:
    return [task for _, task in claimed.tasks]


async def claim_one(nodes: TwoNodes) -> Task:
    await nodes.store.add(task_params())
    (task,) = taken(await claim(nodes.a))
    return task


async def run_out() -> None:
    await asyncio.sleep(SHORT_S * 1.2)


async def test_a_task_is_taken_once(nodes: TwoNodes) -> None:
    """It is submitting then, with a lease, the next event and one more attempt."""
    added = await nodes.store.add(task_params())

    (first,) = taken(await claim(nodes.a))
    second = taken(await claim(nodes.b))

    assert second == []
    assert first == await nodes.store.get(added.id)
    assert (first.status, first.lease, first.attempts) == (TaskStatus.SUBMITTING, 1, 1)
    assert first.submitted_at is not None
    assert [event.event for event in await nodes.store.events(added.id)] == ["queued", "submitting"]


async def test_nodes_that_take_at_the_same_time_get_different_tasks(nodes: TwoNodes) -> None:
    """Each of many tasks is taken by exactly one of many claims at the same time."""
    added = [await nodes.store.add(task_params()) for _ in range(24)]

    claims = await asyncio.gather(*(claim(node, 3) for node in [nodes.a, nodes.b] * 4))

    numbers = [task.number for claimed in claims for task in taken(claimed)]
    assert sorted(numbers) == [task.number for task in added]


async def test_the_owners_take_turns_over_all_nodes(nodes: TwoNodes) -> None:
    """The next owner's turn comes next, whichever node takes the task."""
    for owner in ["ann", "ann", "bob", "bob", "cid", "cid"]:
        await nodes.store.add(task_params(), owner=owner)

    order = []
    for node in [nodes.a, nodes.b] * 3:
        order += [task.owner for task in taken(await claim(node, 1))]

    assert order == ["ann", "bob", "cid", "ann", "bob", "cid"]


async def test_the_pace_is_that_of_all_nodes(nodes: TwoNodes) -> None:
    """What one node has used of the pace is not there for the other one."""
    for _ in range(6):
        await nodes.store.add(task_params())

    first = await claim(nodes.a, most=4, limit=3)
    second = await claim(nodes.b, most=4, limit=3)
    third = await claim(nodes.a, most=4, limit=3)

    assert [len(claimed.tasks) for claimed in (first, second, third)] == [3, 1, 0]


async def test_a_canceled_task_is_not_taken(nodes: TwoNodes) -> None:
    """It is returned apart, as it is, for no create may be sent for it."""
    added = await nodes.store.add(task_params())
    await nodes.store.request_cancel(added.id)

    claimed = await claim(nodes.a)

    assert claimed.tasks == []
    assert [task.id for task in claimed.others] == [added.id]
    assert claimed.others[0].status is TaskStatus.QUEUED


async def test_a_renewed_task_is_not_taken_over(nodes: TwoNodes) -> None:
    """It is confirmed as long as the node renews it, and nobody else gets it."""
    task = await claim_one(nodes)

    for _ in range(4):
        await asyncio.sleep(SHORT_S * 0.4)
        renewal = await nodes.a.renew(leases(task), 1)
        assert renewal.confirmed == renewal.held == {task.id}
        assert renewal.nodes == 2
        assert await nodes.b.claim_abandoned(5) == []


async def test_a_task_whose_lease_ran_out_is_taken_over(nodes: TwoNodes) -> None:
    """The other node gets it with the next lease; the first one can change nothing any more."""
    task = await claim_one(nodes)
    assert await nodes.b.claim_abandoned(5) == []
    await run_out()

    (over,) = await nodes.b.claim_abandoned(5)
    renewal = await nodes.a.renew(leases(task), 1)

    assert (over.id, over.lease, over.status) == (task.id, 2, TaskStatus.SUBMITTING)
    assert renewal.held == renewal.confirmed == frozenset()
    assert await nodes.store.move(task, TaskStatus.RUNNING, prediction_id="p-1") is None
    await nodes.a.release(leases(task))
    assert await nodes.a.claim_abandoned(5) == []
    assert await nodes.store.move(over, TaskStatus.RUNNING, prediction_id="p-1") is not None


async def test_a_late_renewal_keeps_a_task_that_nobody_took(nodes: TwoNodes) -> None:
    """The fence decides, not the time."""
    task = await claim_one(nodes)
    await run_out()

    assert await nodes.a.claim_abandoned(5, skip={task.id}) == []
    renewal = await nodes.a.renew(leases(task), 1)

    assert renewal.confirmed == {task.id}
    assert await nodes.b.claim_abandoned(5) == []
    assert await nodes.store.move(task, TaskStatus.RUNNING, prediction_id="p-1") is not None


async def test_a_released_task_is_taken_over_at_once(nodes: TwoNodes) -> None:
    """A clean stop does not make its tasks wait."""
    task = await claim_one(nodes)

    await nodes.a.release(leases(task))
    (over,) = await nodes.b.claim_abandoned(5)

    assert over.lease == 2


async def test_a_task_that_ended_or_waits_is_still_the_nodes(nodes: TwoNodes) -> None:
    """Its run here ends by itself, and announces what it has written."""
    ended, waiting = await claim_one(nodes), await claim_one(nodes)
    assert await nodes.store.move(ended, TaskStatus.FAILED, error_data={}) is not None
    assert await nodes.store.move(waiting, TaskStatus.QUEUED, attempts=0) is not None

    renewal = await nodes.a.renew(leases(ended, waiting), 0)
    await run_out()

    assert renewal.held == {ended.id, waiting.id}
    assert renewal.confirmed == frozenset()
    assert await nodes.b.claim_abandoned(5) == []
    assert [task.lease for task in taken(await claim(nodes.b))] == [2]


async def test_a_renewal_tells_of_cancels(nodes: TwoNodes) -> None:
    """A cancel that another node stored reaches the node of the run with the next renewal."""
    task = await claim_one(nodes)
    await nodes.store.request_cancel(task.id)

    renewal = await nodes.a.renew(leases(task), 1)

    assert renewal.canceled == {task.id}


async def test_a_role_is_one_nodes(nodes: TwoNodes) -> None:
    """It goes to another node when it is dropped or was not renewed."""
    assert await nodes.a.take_role("maintenance")
    assert not await nodes.b.take_role("maintenance")
    assert await nodes.a.take_role("maintenance")

    await nodes.a.drop_role("maintenance")
    assert await nodes.b.take_role("maintenance")
    await nodes.a.drop_role("maintenance")
    assert not await nodes.a.take_role("maintenance")
    await run_out()
    assert await nodes.a.take_role("maintenance")


async def test_nodes_are_listed(nodes: TwoNodes) -> None:
    """Each with what it said last; one that leaves is gone."""
    task = await claim_one(nodes)
    await nodes.a.renew(leases(task), 1, is_deaf=True)

    rows = {row["id"]: row for row in await nodes.b.nodes()}
    await nodes.a.leave()

    assert set(rows) == {"a", "b"}
    assert (rows["a"]["running"], rows["a"]["deaf"], rows["a"]["leases"]) == (1, 1, 1)
    assert (rows["b"]["name"], rows["b"]["version"], rows["b"]["leases"]) == ("host:b", "1.0", 0)
    assert [row["id"] for row in await nodes.b.nodes()] == ["b"]


@pytest.mark.parametrize("shared_url", ["postgres"], indirect=True)
async def test_a_node_that_stands_still_holds_nobody_up(nodes: TwoNodes, postgres_url: str) -> None:
    """While one node is in the middle of a claim, the other one gets nothing, and does not wait.

    Nor does a node that starts then.
    """
    await nodes.store.add(task_params())
    stopped = await asyncpg.connect(postgres_url)
    await stopped.execute("BEGIN")
    await stopped.execute("SELECT 1 FROM provider_state FOR UPDATE")
    await stopped.execute("UPDATE provider_state SET updated_at = updated_at")

    async with asyncio.timeout(patient(3.0)):
        await lease_store(nodes.store, "c").join()
        assert await nodes.b.claim_due(5, lambda account: Free(account, 5)) is None
        assert await nodes.b.change_account(lambda account: Free(account, 5)) is None
        assert (await nodes.b.renew({}, 0)).account is not None
    await stopped.close()

    assert len((await claim(nodes.b)).tasks) == 1
