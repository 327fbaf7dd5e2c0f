"""What a node passes on to the one that runs a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.cluster import Bus, UnixBus
from phoenix_compat.server.nodes.node_id import node_id, number_of
from phoenix_compat.server.nodes.node_worker import NodeWorker
from phoenix_compat.tasks.model.prediction import PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.worker.run_state import TaskRun
from tests.patience import patient
from tests.unit.cluster.harness import folder
from tests.unit.tasks.sample_tasks import make_snapshot, make_task

__all__ = ["folder"]

RUNNING = make_task(TaskStatus.RUNNING)


class FakeWorker:
    """A worker that runs one task or none, and the store in which all nodes find it."""

    def __init__(self, node: int, *, runs_it: bool) -> None:
        self.run = TaskRun(is_resumed=False) if runs_it else None
        self.free_slots = 1
        self.woken = asyncio.Event()
        self.noticed: list[PredictionSnapshot | None] = []
        self.queued: list[Task] = []
        self.runs: Any = self
        self._node = node

    def of(self, _task_id: str) -> TaskRun | None:
        """See Runs."""
        return self.run

    def wake(self) -> None:
        """See Worker."""
        self.woken.set()

    def note_queued(self, task: Task) -> None:
        """See Worker."""
        self.queued.append(task)

    async def cancel(self, _task_id: str, *, owner: str | None = None) -> Task:
        """See Worker."""
        del owner
        return RUNNING

    async def notice(self, _task_id: str, snapshot: PredictionSnapshot | None) -> bool:
        """See Worker."""
        self.noticed.append(snapshot)
        return True

    async def node_of(self, _task_id: str) -> str | None:
        """See TaskStore: the first node has it."""
        return node_id(0)


@asynccontextmanager
async def two_nodes(
    folder: Path,
) -> AsyncIterator[tuple[tuple[FakeWorker, NodeWorker], tuple[FakeWorker, NodeWorker]]]:
    """The first node runs the task."""
    async with UnixBus(folder, 0, 2) as first, UnixBus(folder, 1, 2) as second:
        workers = FakeWorker(0, runs_it=True), FakeWorker(1, runs_it=False)
        await asyncio.gather(first.catch_up(), second.catch_up())
        buses: tuple[Bus, Bus] = (first, second)
        clients = [
            NodeWorker(worker, worker, bus)  # type: ignore[arg-type]
            for worker, bus in zip(workers, buses, strict=True)
        ]
        yield (workers[0], clients[0]), (workers[1], clients[1])


async def soon(event: asyncio.Event) -> None:
    """Wait for an event."""
    async with asyncio.timeout(patient(5.0)):
        await event.wait()


async def test_a_cancel_wakes_the_run_at_another_node(folder: Path) -> None:
    """It is stored already; a run that is here needs no hint."""
    async with two_nodes(folder) as ((running, here), (_, other)):
        assert running.run is not None
        await other.cancel("t-1")
        await soon(running.run.wake)
        assert other.counts.cancels == 1

        await here.cancel("t-1")

        assert here.counts.cancels == 0


async def test_a_busy_node_wakes_the_others(folder: Path) -> None:
    """One with a free slot takes the task itself."""
    async with two_nodes(folder) as ((busy, here), (idle, _)):
        here.note_queued(RUNNING)
        assert here.counts.wakes == 0

        busy.free_slots = 0
        here.note_queued(RUNNING)

        await soon(idle.woken)
        assert here.counts.wakes == 1


@pytest.mark.parametrize("snapshot", [make_snapshot(PredictionState.SUCCEEDED, output=["u"]), None])
async def test_a_webhook_is_passed_on(folder: Path, snapshot: PredictionSnapshot | None) -> None:
    """The node that runs the task polls; what is on the bus is not believed."""
    async with two_nodes(folder) as ((running, here), (elsewhere, other)):
        assert await other.notice("t-1", snapshot)
        assert running.noticed == [None]
        assert not elsewhere.noticed

        assert await here.notice("t-1", snapshot)

        assert running.noticed == [None, snapshot]


async def test_a_webhook_stays_where_no_node_can_be_reached(folder: Path) -> None:
    """As if there were one node: a poll finds out as well."""
    async with UnixBus(folder, 1, 2) as bus:
        worker = FakeWorker(1, runs_it=False)
        client = NodeWorker(worker, worker, bus)  # type: ignore[arg-type]

        assert await client.notice("t-1", None)

        assert worker.noticed == [None]


def test_the_id_of_a_node_is_its_number() -> None:
    """Texts that are not ids have none."""
    assert number_of(node_id(2**48 - 1)) == 2**48 - 1
    assert node_id(10) == "00000000000a"
    assert [number_of(text) for text in (None, "", "host:1", "f" * 17)] == [None] * 4
