"""The feed of tasks in a process that is not the leader: up to date, in order, without gaps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from phoenix_compat import Endpoint
from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.unix import UnixBus
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


class FakeTasks:
    """A store and a worker in one: tasks in a dict, and lists of what was read and canceled."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.canceled: list[str] = []
        self.reads: list[tuple[str, str | None]] = []

    async def get(
        self, task_id: str, *, owner: str | None = None, with_inputs: bool = True
    ) -> Task | None:
        """See TaskStore."""
        del with_inputs
        self.reads.append((task_id, owner))
        task = self.tasks.get(task_id)
        return task if task is not None and owner in {None, task.owner} else None

    async def cancel(self, task_id: str, *, owner: str | None = None) -> Task:
        """See Worker."""
        if await self.get(task_id, owner=owner) is None:
            raise TaskNotFoundError(task_id)
        self.canceled.append(task_id)
        return self.tasks[task_id]


class Node:
    """The feed of one process, and a client that receives the progress of one task."""

    def __init__(self, bus: Bus, fake_tasks: Any, *, is_leader: bool) -> None:
        async def begin() -> None:
            if not is_leader:
                raise StoreInUseError(Path("tasks"), "in use")

        self.bus = bus
        self.endpoint = Endpoint()
        self.feed = SharedFeed(fake_tasks, self.endpoint, bus)
        self.leader = Leader(bus, begin)
        self.feed.begin(self.leader, fake_tasks)
        self._received: asyncio.Queue[float] = asyncio.Queue()

    def watch(self, task: Task) -> None:
        """Subscribe to this task."""
        self.endpoint.subscribe(task.topic, self._receive)

    def _receive(self, broadcast: Broadcast) -> None:
        self._received.put_nowait(broadcast.payload["progress"])

    async def next(self) -> float:
        """The next progress that the client receives."""
        async with asyncio.timeout(patient(5.0)):
            return await self._received.get()

    @property
    def is_silent(self) -> bool:
        """Whether the client received nothing more."""
        return self._received.empty()


@asynccontextmanager
async def two_nodes(
    folder: Path, fake_tasks: FakeTasks, **options: int
) -> AsyncIterator[tuple[Node, Node]]:
    """The leader and another process."""
    async with UnixBus(folder, 0, 2, **options) as first, UnixBus(folder, 1, 2) as second:
        leading, other = (
            Node(first, fake_tasks, is_leader=True),
            Node(second, FakeTasks(), is_leader=False),
        )
        await leading.leader.start()
        await other.leader.start()
        yield leading, other
        for node in (leading, other):
            await node.feed.stop()
            await node.leader.stop()


async def until_read_again(node: Node, fake_tasks: FakeTasks, count: int) -> None:
    """Wait until the store was read this many times, and the answers were handled."""
    async with asyncio.timeout(patient(5.0)):
        while len(fake_tasks.reads) < count or node.feed.background:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)


def at(progress: float) -> Task:
    """The running task at this progress."""
    return make_task(TaskStatus.RUNNING, progress=progress)


async def test_announcements_of_the_leader_arrive_in_both_processes(folder: Path) -> None:
    """Each client gets each change once, and a later read returns the newest state."""
    async with two_nodes(folder, FakeTasks()) as (leading, other):
        for node in (leading, other):
            node.watch(at(0.0))

        leading.feed.announce(at(0.2))
        leading.feed.announce(at(0.4))

        for node in (leading, other):
            assert [await node.next(), await node.next()] == [0.2, 0.4]
            assert node.feed.newest(at(0.2)).progress == 0.4
            assert node.is_silent


async def test_another_process_reads_and_cancels_through_the_leader(folder: Path) -> None:
    """Reading and canceling work over the bus; an unknown task is not found."""
    fake_tasks = FakeTasks()
    fake_tasks.tasks[at(0.0).id] = at(0.3)
    async with two_nodes(folder, fake_tasks) as (_, other):
        assert await other.feed.read(at(0.0).id) == at(0.3)
        assert await other.feed.read("none") is None
        await other.feed.cancel(at(0.0).id)
        assert fake_tasks.canceled == [at(0.0).id]
        with pytest.raises(TaskNotFoundError):
            await other.feed.cancel("none")


async def test_another_owners_task_is_not_found_over_the_bus(folder: Path) -> None:
    """Reads and cancels carry the owner; a remembered task of another is looked up as a missing."""
    fake_tasks = FakeTasks()
    task = msgspec.structs.replace(at(0.3), owner="ada")
    fake_tasks.tasks[task.id] = task
    async with two_nodes(folder, fake_tasks) as (leading, other):
        other.watch(task)
        leading.feed.announce(task)
        await other.next()

        for node in (leading, other):
            fake_tasks.reads.clear()
            assert await node.feed.read(task.id, "bob") is None
            assert await node.feed.read("none", "bob") is None
            assert fake_tasks.reads == [(task.id, "bob"), ("none", "bob")]
            with pytest.raises(TaskNotFoundError):
                await node.feed.cancel(task.id, owner="bob")
            assert fake_tasks.canceled == []
            assert (await node.feed.read(task.id, "ada")) == task.without_inputs()
        await other.feed.cancel(task.id, owner="ada")
        assert fake_tasks.canceled == [task.id]


async def test_a_lost_announcement_loses_no_result(folder: Path) -> None:
    """After a gap the watched tasks are read again, and their clients get the present state."""
    fake_tasks = FakeTasks()
    async with two_nodes(folder, fake_tasks, max_queue_bytes=2_000) as (leading, other):
        other.watch(at(0.0))
        leading.feed.announce(at(0.1))
        assert await other.next() == 0.1

        leading.bus.cast("flood", b"x" * 1_900)
        fake_tasks.tasks[at(0.0).id] = at(0.9)
        leading.feed.announce(at(0.9))  # does not fit into the queue

        assert await other.next() == 0.9
        assert other.bus.counts.gaps == 1
        assert other.feed.newest(at(0.1)).progress == 0.9


async def test_watched_tasks_are_read_from_a_new_leader(folder: Path) -> None:
    """When another process takes over, clients get what has changed, and nothing twice."""
    fake_tasks = FakeTasks()
    async with two_nodes(folder, fake_tasks) as (leading, other):
        other.watch(at(0.0))
        fake_tasks.tasks[at(0.0).id] = at(0.5)
        leading.feed.announce(at(0.5))
        assert await other.next() == 0.5

        leading.bus.drop_role(ROLE)
        leading.bus.take_role(ROLE)
        leading.bus.drop_role(ROLE)
        fake_tasks.tasks[at(0.0).id] = at(0.6)
        leading.bus.take_role(ROLE)

        assert await other.next() == 0.6
        assert other.is_silent


async def test_without_a_leader_a_read_fails(folder: Path) -> None:
    """A read that finds no leader in time raises an error."""
    async with UnixBus(folder, 0, 2) as bus:
        node = Node(bus, FakeTasks(), is_leader=False)
        with pytest.raises(StoreUnavailableError):
            await node.leader.find(timeout_s=0.01)


async def test_a_new_leader_repeats_nothing_that_a_client_was_told_at_its_join(
    folder: Path,
) -> None:
    """E4: a client that joined an ended task hears nothing more when the leader changes; one that
    missed the end hears it."""
    fake_tasks = FakeTasks()
    fake_tasks.tasks[at(0.0).id] = at(0.3)
    async with two_nodes(folder, fake_tasks) as (leading, other):
        await other.feed.read(at(0.0).id)
        other.watch(at(0.0))

        leading.bus.drop_role(ROLE)
        leading.bus.take_role(ROLE)
        await until_read_again(other, fake_tasks, 2)
        fake_tasks.tasks[at(0.0).id] = at(0.7)
        other.feed.gap(0)

        assert await other.next() == 0.7
        await until_read_again(other, fake_tasks, 3)
        assert other.is_silent
