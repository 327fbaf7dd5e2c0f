"""Workers of several nodes on one PostgreSQL database, with one provider's account."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

import pytest

from phoenix_compat.tasks.model.clock import elapsed_s
from phoenix_compat.tasks.model.errors import (
    ProviderError,
    ProviderRefusedError,
    RateReducedError,
)
from phoenix_compat.tasks.model.task import TaskId, TaskStatus
from phoenix_compat.tasks.store.leases.lease_store import Claimed, OpenPace
from tests.integration.leases.shared_account import QUICK, Account, SharingNode, open_nodes
from tests.integration.worker.worker_harness import FAST
from tests.patience import patient
from tests.services.postgres import OwnPostgres

COMPLETED, RUNNING = TaskStatus.COMPLETED, TaskStatus.RUNNING


async def test_nodes_share_the_queue(postgres_url: str) -> None:
    """Each task is created once and its end announced once; every node has a part."""
    account = Account()
    async with open_nodes(*[postgres_url] * 3, account=account) as nodes:
        tasks = [await nodes[number % 3].add(prompt=f"{number}") for number in range(45)]
        await nodes[0].until(lambda: sum(len(node.ends) for node in nodes) >= len(tasks))

        ends = [end for node in nodes for end in node.ends]
        assert sorted(ends) == sorted(task.id for task in tasks)
        assert account.most_billed == 1
        assert len(account.made) == len(tasks)
        assert all(node.ends for node in nodes)
        counts = [node.worker.counts for node in nodes]
        assert all(one["leases_lost"] == one["takeovers"] == 0 for one in counts)


@pytest.mark.long
async def test_a_task_of_a_dead_node_is_taken_over(postgres_url: str) -> None:
    """Running predictions are polled on by their ids; nothing is billed again."""
    account = Account(runs_s=patient(1.0))
    async with open_nodes(postgres_url, postgres_url, account=account, leases=QUICK) as (
        dead,
        other,
    ):
        other.worker.set_concurrency(0)
        tasks = [await dead.add(prompt=f"{number}") for number in range(4)]
        for task in tasks:
            await dead.until_status(task, RUNNING)

        dead.kill()
        other.worker.set_concurrency(8)
        await other.until(lambda: len(other.ends) == len(tasks))

        assert dead.ends == []
        assert account.most_billed == 1
        assert other.worker.counts["takeovers"] == len(tasks)
        assert [(await other.now(task)).status for task in tasks] == [COMPLETED] * 4
        assert [(await other.now(task)).lease for task in tasks] == [2] * 4


@pytest.mark.long
async def test_a_clean_stop_hands_tasks_over_at_once(postgres_url: str) -> None:
    """The other node need not wait until the leases run out."""
    account = Account(runs_s=patient(0.6))
    async with open_nodes(postgres_url, postgres_url, account=account) as (first, other):
        other.worker.set_concurrency(0)
        task = await first.add(prompt="one")
        await first.until_status(task, RUNNING)

        await first.worker.stop()
        other.worker.set_concurrency(8)
        other.worker.wake()
        abandoned_at_s = elapsed_s()
        await other.until(lambda: other.worker.counts["takeovers"] == 1)

        assert elapsed_s() - abandoned_at_s < patient(0.9)
        await other.until(lambda: other.ends == [task.id])
        assert account.most_billed == 1
        assert [row["id"] for row in await other.leases.nodes()] == ["b"]


async def test_a_cancel_reaches_the_node_of_the_run(postgres_url: str) -> None:
    """It is told with the next renewal, if nothing else tells it."""
    account = Account(runs_s=patient(30.0))
    async with open_nodes(postgres_url, postgres_url, account=account) as (first, other):
        other.worker.set_concurrency(0)
        task = await first.add(prompt="one")
        await first.until_status(task, RUNNING)

        await other.worker.cancel(task.id)
        await first.until(lambda: first.ends == [task.id])

        assert (await other.now(task)).status is TaskStatus.FAILED
        assert other.ends == []


async def test_no_create_is_sent_after_the_lease_may_have_run_out(postgres_url: str) -> None:
    """While the connection was made the node stood still; it puts the task back instead."""
    account = Account()
    async with open_nodes(postgres_url, account=account) as (node,):
        held: list[float] = []

        def stand_still() -> None:
            if not held:
                run = next(node.worker.runs.of(one) for one in node.worker.runs.ids)
                assert run is not None
                held.append(run.sure_until_s)
                run.sure_until_s = elapsed_s() - 1.0

        account.connected = stand_still
        task = await node.add(prompt="one")
        await node.until(lambda: node.ends == [task.id])

        assert node.worker.counts["creates_held_back"] == 1
        assert len(account.creates) == account.most_billed == 1
        history = [event.event for event in await node.store.events(task.id)]
        assert history == [
            *("queued", "submitting", "queued", "submitting", "running", "completed"),
        ]


@pytest.mark.long
async def test_nodes_together_keep_the_pace_of_one(postgres_url: str) -> None:
    """In no second do more creates arrive than the configured rate and its burst."""
    account = Account()
    options = replace(FAST, creates_per_s=15.0, create_burst=3.0)
    async with open_nodes(*[postgres_url] * 3, account=account, options=options) as nodes:
        tasks = [await nodes[number % 3].add(prompt=f"{number}") for number in range(40)]
        await nodes[0].until(lambda: sum(len(node.ends) for node in nodes) >= len(tasks))

        assert account.most_billed == 1
        assert account.most_in(1.0) <= 15 + 3 + 1


async def test_a_429_of_one_node_slows_all_of_them_down(postgres_url: str) -> None:
    """The rate that it names holds for all nodes together from then on."""
    account = Account()
    refused: list[int] = []

    def refuse() -> ProviderError | None:
        if not refused:
            refused.append(1)
            return RateReducedError(0.1, per_minute=120, burst=1)
        return None

    account.refuse = refuse
    async with open_nodes(*[postgres_url] * 3, account=account) as nodes:
        tasks = [await nodes[0].add(prompt=f"{number}") for number in range(6)]
        await nodes[0].until(lambda: sum(len(node.ends) for node in nodes) >= len(tasks))

        assert len(account.creates) == len(tasks) + 1
        assert account.most_billed == 1
        # 120 a minute are 2 a second, of which 95 % are used.
        assert account.most_in(1.5) <= 5
        await nodes[0].until(lambda: all(one.worker.provider_state.is_reduced for one in nodes))


async def test_the_circuit_is_that_of_all_nodes(postgres_url: str) -> None:
    """While the account is empty, no node but the one with the probe sends a create."""
    account = Account()
    account.refuse = lambda: ProviderRefusedError(402, "provider_account", "empty")
    options = replace(FAST, breaker=replace(FAST.breaker, first_probe_s=0.4, probe_limit_s=0.4))
    async with open_nodes(*[postgres_url] * 3, account=account, options=options) as nodes:
        for number in range(6):
            await nodes[number % 3].add(prompt=f"{number}")
        await nodes[0].until(lambda: len(account.creates) >= 3)
        assert account.most_in(0.3) <= 2

        account.refuse = lambda: None
        await nodes[0].until(lambda: sum(len(node.ends) for node in nodes) >= 6)
        await nodes[0].until(lambda: all(one.worker.provider_state.reason is None for one in nodes))
        assert account.most_billed == 1


async def test_a_claim_that_a_stop_interrupts_is_given_back(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task waits in the queue as before, and costs nobody a search for its prediction."""
    account = Account()
    async with open_nodes(postgres_url, account=account) as (node,):
        claiming, go_on = asyncio.Event(), asyncio.Event()
        claim_due = node.leases.claim_due

        async def claim_late(
            limit: int, open_pace: OpenPace, skip: Collection[TaskId] = ()
        ) -> Claimed | None:
            claiming.set()
            await go_on.wait()
            return await claim_due(limit, open_pace, skip)

        monkeypatch.setattr(node.leases, "claim_due", claim_late)
        task = await node.add(prompt="one")
        await claiming.wait()
        stopping = asyncio.create_task(node.worker.stop())
        await asyncio.sleep(0)
        go_on.set()
        await stopping

        waiting = await node.now(task)
        assert (waiting.status, waiting.attempts) == (TaskStatus.QUEUED, 0)
        assert waiting.submitted_at is None
        assert account.creates == []


def has_ended(nodes: Sequence[SharingNode], count: int) -> bool:
    return sum(len(node.ends) for node in nodes) >= count


@pytest.mark.long
async def test_the_database_is_killed_in_the_middle(own_postgres: OwnPostgres) -> None:
    """Nothing is lost, billed twice or told twice, and all goes on by itself."""
    account = Account(runs_s=0.2)
    url = own_postgres.url
    async with open_nodes(url, url, url, account=account, leases=QUICK) as nodes:
        tasks = [await nodes[number % 3].add(prompt=f"{number}") for number in range(60)]
        for ended in (5, 15, 25):
            await nodes[0].until(partial(has_ended, nodes, ended))
            await asyncio.to_thread(own_postgres.kill)
            await asyncio.sleep(1.5)
            await asyncio.to_thread(own_postgres.start)
        await nodes[0].until(lambda: sum(len(node.ends) for node in nodes) >= len(tasks))

        ends = [end for node in nodes for end in node.ends]
        assert sorted(ends) == sorted(task.id for task in tasks)
        assert account.most_billed == 1
        assert {(await nodes[0].now(task)).status for task in tasks} == {COMPLETED}
