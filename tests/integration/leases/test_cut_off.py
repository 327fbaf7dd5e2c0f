"""A node that the database cannot be reached from, while the provider and its clients still are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from phoenix_compat.tasks.model.task import TaskStatus
from tests.integration.leases.shared_account import QUICK, Account, SharingNode, open_nodes
from tests.patience import patient
from tests.services.network import Network, open_network

COMPLETED, RUNNING = TaskStatus.COMPLETED, TaskStatus.RUNNING


@dataclass
class Scene:
    """Two nodes, of which the first one reaches the database through a network."""

    network: Network
    account: Account
    cut: SharingNode
    other: SharingNode


@pytest.fixture
async def scene(postgres_url: str) -> AsyncIterator[Scene]:
    """Both nodes run; the other one takes no tasks yet."""
    port = urlsplit(postgres_url).port
    assert port is not None
    account = Account(runs_s=patient(0.5))
    async with open_network("127.0.0.1", port) as network:
        through = postgres_url.replace(f":{port}/", f":{network.port}/")
        async with open_nodes(through, postgres_url, account=account, leases=QUICK) as (
            first,
            second,
        ):
            second.worker.set_concurrency(0)
            yield Scene(network, account, first, second)
            network.heal()


async def test_a_node_without_the_database_writes_and_tells_nothing(scene: Scene) -> None:
    """Another node ends its task; when it is back it stops working on it, quietly."""
    cut, other = scene.cut, scene.other
    task = await cut.add(prompt="one")
    await other.until_status(task, RUNNING)

    scene.network.cut()
    heard = len(cut.announced)
    other.worker.set_concurrency(8)
    await other.until(lambda: other.ends == [task.id])
    scene.network.heal()
    await cut.until(lambda: cut.worker.running == 0)

    assert len(cut.announced) == heard
    assert cut.worker.counts["leases_lost"] == 1
    assert other.worker.counts["takeovers"] == 1
    ended = await other.now(task)
    assert (ended.status, ended.lease) == (COMPLETED, 2)
    assert scene.account.most_billed == 1
    events = [event.event for event in await other.store.events(task.id)]
    assert events == ["queued", "submitting", "running", "completed"]


async def test_a_result_waits_until_the_database_is_back(scene: Scene) -> None:
    """If nobody has taken the task meanwhile, its own node records and tells the result."""
    cut, account = scene.cut, scene.account
    task = await cut.add(prompt="one")
    await scene.other.until_status(task, RUNNING)

    scene.network.cut()
    await cut.until(lambda: cut.worker.changes_waiting == 1)
    assert cut.ends == []
    scene.network.heal()
    await cut.until(lambda: cut.ends == [task.id])

    ended = await scene.other.now(task)
    assert (ended.status, ended.lease) == (COMPLETED, 1)
    assert account.most_billed == 1
    assert cut.worker.counts["leases_lost"] == cut.worker.changes_waiting == 0


@pytest.mark.long
async def test_a_create_whose_answer_cannot_be_recorded_is_found(scene: Scene) -> None:
    """The node is cut off while its create is on its way; the other one adopts the prediction."""
    cut, other, account = scene.cut, scene.other, scene.account
    account.connected = scene.network.cut
    task = await cut.add(prompt="one")
    await cut.until(lambda: len(account.made) == 1)

    account.connected = lambda: None
    other.worker.set_concurrency(8)
    await other.until(lambda: other.ends == [task.id])
    scene.network.heal()
    await cut.until(lambda: cut.worker.running == 0)

    assert cut.ends == []
    assert account.most_billed == len(account.creates) == 1
    assert (await other.now(task)).attempts == 1
