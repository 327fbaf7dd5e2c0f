"""The feed of a node: hints may be lost, late or repeated, and clients get each state once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from phoenix_compat import Endpoint
from phoenix_compat.cluster import Bus, UnixBus
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.server.nodes.node_feed import NodeFeed
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from phoenix_compat.tasks.model.task import Task, TaskStatus
from tests.patience import patient
from tests.unit.cluster.harness import folder
from tests.unit.tasks.sample_tasks import CREATED_AT, make_task

__all__ = ["folder"]


class SharedTasks:
    """The store of both nodes: tasks in a dict."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.is_away = False
        self.refused = 0

    async def get(
        self, task_id: str, *, owner: str | None = None, with_inputs: bool = True
    ) -> Task | None:
        """See TaskStore."""
        del with_inputs
        if self.is_away:
            self.refused += 1
            raise StoreUnavailableError("away")
        task = self.tasks.get(task_id)
        return task if task is not None and owner in {None, task.owner} else None

    async def get_many(self, task_ids: Sequence[str]) -> list[Task]:
        """See TaskStore."""
        found = [await self.get(task_id) for task_id in task_ids]
        return [task for task in found if task is not None]

    def put(self, task: Task) -> Task:
        """Commit a state."""
        self.tasks[task.id] = task
        return task


class Node:
    """The feed of one node, and a client that receives the progress of one task."""

    def __init__(self, bus: Bus, tasks: Any, **times: Any) -> None:
        self.bus = bus
        self.endpoint = Endpoint()
        self.feed = NodeFeed(tasks, self.endpoint, bus, **times)
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
    folder: Path, tasks: SharedTasks, **times: float
) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes that hear each other; the first reads of their starts are over."""
    first, second = UnixBus(folder, 0, 2), UnixBus(folder, 1, 2)
    nodes = Node(first, tasks, **times), Node(second, tasks, **times)
    async with first, second:
        await asyncio.gather(first.catch_up(), second.catch_up())
        for node in nodes:
            node.feed.start()
        try:
            yield nodes
        finally:
            for node in nodes:
                await node.feed.stop()


def at(progress: float, *, lease: int = 1, after_s: float | None = None) -> Task:
    """The running task at this progress, which it reached so many seconds after its creation."""
    task = make_task(TaskStatus.RUNNING, progress=progress)
    updated_at = CREATED_AT + timedelta(seconds=progress * 100 if after_s is None else after_s)
    return msgspec.structs.replace(task, lease=lease, updated_at=updated_at)


def ended() -> Task:
    """The task after its end."""
    return at(0.9).moved(TaskStatus.COMPLETED, CREATED_AT, result_data={"urls": []})


async def hints(node: Node, count: int) -> None:
    """Wait until this many hints have arrived."""
    async with asyncio.timeout(patient(5.0)):
        while node.feed.hint_counts.hints < count:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)


async def test_a_hint_that_nobody_wants_is_not_decoded(folder: Path) -> None:
    """Neither a client nor a console watches the task here; who comes later reads the store."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, second):
        first.feed.announce(tasks.put(at(0.1)))
        await hints(second, 1)
        assert second.feed.hint_counts.unwanted == 1
        assert second.feed.counts.remembered == 0

        joined = await second.feed.read("t-1")
        first.feed.announce(tasks.put(at(0.2)))
        await hints(second, 2)

        assert joined is not None
        assert second.feed.newest(joined).progress == 0.2
        assert second.feed.hint_counts.unwanted == 1


async def test_a_listener_wants_every_hint(folder: Path) -> None:
    """Such as a console that shows tasks."""
    tasks, heard = SharedTasks(), list[Task]()
    async with two_nodes(folder, tasks) as (first, second):
        second.feed.listener = heard.append

        first.feed.announce(tasks.put(at(0.1)))
        await hints(second, 1)

        assert [task.progress for task in heard] == [0.1]


async def test_a_change_reaches_the_clients_of_every_node(folder: Path) -> None:
    """Whichever node announces it."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as nodes:
        for node in nodes:
            node.watch(at(0.1))

        for writer, progress in zip(nodes, (0.1, 0.2), strict=True):
            writer.feed.announce(tasks.put(at(progress)))

            for node in nodes:
                assert await node.next() == progress


@pytest.mark.parametrize(
    "late",
    [at(0.4), at(0.6, lease=0, after_s=99.0), at(0.5)],
    ids=["older", "of an earlier lease", "the same"],
)
async def test_a_late_hint_brings_nothing_older(folder: Path, late: Task) -> None:
    """The client has the newer state already, so it hears nothing of it."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, second):
        second.watch(late)
        second.feed.announce(tasks.put(at(0.5)))
        assert await second.next() == 0.5

        first.feed.announce(late)
        await hints(second, 1)

        assert second.is_silent
        assert second.feed.newest(late).progress == 0.5
        assert second.feed.hint_counts.late == 1


async def test_an_own_change_may_be_late_too(folder: Path) -> None:
    """Another node has taken the task before this one could say that it was queued again."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, second):
        second.watch(at(0.0))
        first.feed.announce(tasks.put(at(0.1, lease=2)))
        assert await second.next() == 0.1

        second.feed.announce(at(0.0))

        assert second.is_silent


async def test_nothing_follows_the_end(folder: Path) -> None:
    """A hint that was overtaken by the end of its task is dropped; a retry is a new cycle."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, second):
        second.watch(ended())
        second.feed.announce(tasks.put(ended()))
        assert await second.next() == 1.0

        first.feed.announce(at(0.9, after_s=200.0))
        await hints(second, 1)
        assert second.is_silent
        first.feed.announce(msgspec.structs.replace(at(0.0), cycle=2, updated_at=CREATED_AT))

        assert await second.next() == 0.0


async def test_a_join_gets_what_the_store_has(folder: Path) -> None:
    """Also if the hint has not arrived; the other clients get it too, and the hint is late."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, second):
        second.watch(at(0.1))
        first.feed.announce(tasks.put(at(0.1)))
        assert await second.next() == 0.1
        tasks.put(at(0.3))

        joined = await second.feed.read("t-1")
        assert joined is not None
        assert second.feed.payload(joined, "")["progress"] == 0.3
        assert await second.next() == 0.3
        first.feed.announce(at(0.3))
        await hints(second, 2)

        assert second.is_silent


async def test_a_join_never_gets_less_than_was_announced(folder: Path) -> None:
    """What was read before an announcement is older than it."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, _):
        tasks.put(at(0.1))
        read = await first.feed.read("t-1")
        assert read is not None

        first.feed.announce(tasks.put(at(0.2)))

        assert first.feed.payload(read, "")["progress"] == 0.2


async def test_tasks_of_others_and_deleted_ones_are_not_found(folder: Path) -> None:
    """Whatever is remembered of them."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, _):
        owned = msgspec.structs.replace(at(0.1), owner="key:a")
        first.feed.announce(tasks.put(owned))
        assert await first.feed.read("t-1", "key:b") is None
        assert await first.feed.read("t-1", "key:a") is not None
        del tasks.tasks["t-1"]

        assert await first.feed.read("t-1", "key:a") is None


@pytest.mark.parametrize("event", ["gap", "up", "down"])
async def test_what_may_have_been_missed_is_read_again(folder: Path, event: str) -> None:
    """A hint that was lost, or was never sent, loses nothing; and nothing comes twice."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, second):
        second.watch(at(0.1))
        first.feed.announce(tasks.put(at(0.1)))
        assert await second.next() == 0.1
        tasks.put(ended())

        getattr(second.feed, event)(0)

        assert await second.next() == 1.0
        getattr(second.feed, event)(0)
        reads = second.feed.hint_counts.reads
        async with asyncio.timeout(patient(5.0)):
            while second.feed.hint_counts.reads == reads:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        assert second.is_silent
        assert second.feed.hint_counts.found >= 1


async def test_a_store_that_is_away_is_read_when_it_is_back(folder: Path) -> None:
    """The doubt stays until it could be read."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (_, second):
        second.watch(at(0.1))
        tasks.put(ended())
        tasks.is_away = True
        second.feed.gap(0)
        with pytest.raises(StoreUnavailableError):
            await second.feed.read("t-1")
        async with asyncio.timeout(patient(5.0)):
            while tasks.refused < 2:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        assert second.is_silent

        tasks.is_away = False

        assert await second.next() == 1.0


async def test_a_deaf_node_reads_the_store(folder: Path) -> None:
    """Its clients get every state late, and none never."""
    tasks = SharedTasks()
    async with UnixBus(folder, 0, 1) as bus:
        bus.is_deaf = True
        node = Node(bus, tasks, deaf_poll_s=0.01)
        node.watch(at(0.1))
        node.feed.start()
        tasks.put(ended())

        assert await node.next() == 1.0
        await node.feed.stop()


async def test_new_owners_are_read_in_every_node(folder: Path) -> None:
    """What is remembered belongs to the earlier owners."""
    tasks = SharedTasks()
    async with two_nodes(folder, tasks) as (first, second):
        tasks.put(at(0.1))
        await second.feed.read("t-1")
        assert second.feed.counts.remembered == 1

        first.feed.forget_all()

        async with asyncio.timeout(patient(5.0)):
            while second.feed.counts.remembered:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
