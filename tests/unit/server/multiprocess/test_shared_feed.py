"""The feed of tasks when the leader is another process: fresh, in order, and whole after a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat import Endpoint
from phoenix_compat.cluster.bus import Bus
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.server.multiprocess.leader import ROLE, Leader
from phoenix_compat.server.multiprocess.shared_feed import SharedFeed
from phoenix_compat.tasks.model.errors import (
    StoreInUseError,
    StoreUnavailableError,
    TaskNotFoundError,
)
from phoenix_compat.tasks.model.task import Task, TaskStatus
from tests.patience import patient
from tests.unit.cluster.harness import folder
from tests.unit.tasks.sample_tasks import make_task

__all__ = ["folder"]


class Desk:
    """Store and worker of the scene: tasks in a dict, and a list of what was canceled."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.canceled: list[str] = []

    async def get(self, task_id: str) -> Task | None:
        """See TaskStore."""
        return self.tasks.get(task_id)

    async def cancel(self, task_id: str) -> Task:
        """See Worker."""
        if task_id not in self.tasks:
            raise TaskNotFoundError(task_id)
        self.canceled.append(task_id)
        return self.tasks[task_id]


class Node:
    """A process's feed, and what a client of one task hears there."""

    def __init__(self, bus: Bus, desk: Any, *, is_keeper: bool) -> None:
        async def begin() -> None:
            if not is_keeper:
                raise StoreInUseError(Path("tasks"), "in use")

        self.bus = bus
        self.endpoint = Endpoint()
        self.feed = SharedFeed(desk, self.endpoint, bus)
        self.leader = Leader(bus, begin)
        self.feed.begin(self.leader, desk)
        self._heard: asyncio.Queue[float] = asyncio.Queue()

    def watch(self, task: Task) -> None:
        """Be a client of this task."""
        self.endpoint.subscribe(task.topic, self._hear)

    def _hear(self, broadcast: Broadcast) -> None:
        self._heard.put_nowait(broadcast.payload["progress"])

    async def next(self) -> float:
        """The next progress that the client hears."""
        async with asyncio.timeout(patient(5.0)):
            return await self._heard.get()

    @property
    def is_silent(self) -> bool:
        """Whether the client heard nothing more."""
        return self._heard.empty()


@asynccontextmanager
async def two(folder: Path, desk: Desk, **options: int) -> AsyncIterator[tuple[Node, Node]]:
    """The leader and another process."""
    async with Bus(folder, 0, 2, **options) as first, Bus(folder, 1, 2) as second:
        kept, other = Node(first, desk, is_keeper=True), Node(second, Desk(), is_keeper=False)
        await kept.leader.start()
        await other.leader.start()
        yield kept, other
        for node in (kept, other):
            await node.feed.stop()
            await node.leader.stop()


def at(progress: float) -> Task:
    """The scene's task, so far."""
    return make_task(TaskStatus.RUNNING, progress=progress)


async def test_what_the_keeper_announces_is_heard_in_both_processes(folder: Path) -> None:
    """Each client hears each change once, and what is read afterwards is the newest."""
    async with two(folder, Desk()) as (kept, other):
        for node in (kept, other):
            node.watch(at(0.0))

        kept.feed.announce(at(0.2))
        kept.feed.announce(at(0.4))

        for node in (kept, other):
            assert [await node.next(), await node.next()] == [0.2, 0.4]
            assert node.feed.newest(at(0.2)).progress == 0.4
            assert node.is_silent


async def test_another_process_reads_and_cancels_at_the_keeper(folder: Path) -> None:
    """Reading and canceling work from afar; what is not there is not there."""
    desk = Desk()
    desk.tasks[at(0.0).id] = at(0.3)
    async with two(folder, desk) as (_, other):
        assert await other.feed.read(at(0.0).id) == at(0.3)
        assert await other.feed.read("none") is None
        await other.feed.cancel(at(0.0).id)
        assert desk.canceled == [at(0.0).id]
        with pytest.raises(TaskNotFoundError):
            await other.feed.cancel("none")


async def test_a_lost_announcement_is_no_lost_result(folder: Path) -> None:
    """After a gap the watched tasks are read again, and their clients hear where they stand."""
    desk = Desk()
    async with two(folder, desk, max_queue_bytes=2_000) as (kept, other):
        other.watch(at(0.0))
        kept.feed.announce(at(0.1))
        assert await other.next() == 0.1

        kept.bus.cast("flood", b"x" * 1_900)
        desk.tasks[at(0.0).id] = at(0.9)
        kept.feed.announce(at(0.9))  # does not fit any more

        assert await other.next() == 0.9
        assert other.bus.counts.gaps == 1
        assert other.feed.newest(at(0.1)).progress == 0.9


async def test_a_new_keeper_is_asked_for_what_is_watched(folder: Path) -> None:
    """When another process takes over, clients hear what changed meanwhile, and nothing twice."""
    desk = Desk()
    async with two(folder, desk) as (kept, other):
        other.watch(at(0.0))
        desk.tasks[at(0.0).id] = at(0.5)
        kept.feed.announce(at(0.5))
        assert await other.next() == 0.5

        kept.bus.drop_role(ROLE)
        kept.bus.take_role(ROLE)
        kept.bus.drop_role(ROLE)
        desk.tasks[at(0.0).id] = at(0.6)
        kept.bus.take_role(ROLE)

        assert await other.next() == 0.6
        assert other.is_silent


async def test_without_a_keeper_nothing_can_be_told(folder: Path) -> None:
    """A read that finds no leader in time says so, and does not wait for ever."""
    async with Bus(folder, 0, 2) as bus:
        node = Node(bus, Desk(), is_keeper=False)
        with pytest.raises(StoreUnavailableError):
            await node.leader.find(timeout_s=0.01)
