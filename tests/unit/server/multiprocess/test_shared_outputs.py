"""Texts that are being written, in two processes with a bus between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.server.multiprocess.leader import ROLE
from phoenix_compat.server.multiprocess.shared_outputs import SharedOutputs
from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from phoenix_compat.tasks.model.task_types import TASK_TYPES
from phoenix_compat.tasks.model.task_types_file import packaged_task_types
from phoenix_compat.tasks.streams.written_text import WrittenText
from tests.patience import patient
from tests.unit.cluster.harness import folder
from tests.unit.tasks.sample_tasks import make_task

__all__ = ["folder"]

TYPES = {**TASK_TYPES, **packaged_task_types()}


class Node:
    """The outputs of one process, and a client that follows one text."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.endpoint = Endpoint()
        self.outputs = SharedOutputs(self.endpoint, bus, TYPES)
        self.outputs.begin()
        self.text = ""
        self.events = 0

    def watch(self, task: Task) -> None:
        """Join: get the text so far, and then what follows."""
        self.endpoint.subscribe(task.topic, self._receive)
        if (present := self.outputs.present(task.id)) is not None:
            self.text = present["text"]

    def _receive(self, broadcast: Broadcast) -> None:
        seq, part = broadcast.payload["seq"], broadcast.payload["text"]
        assert seq - len(part) <= len(self.text), "a hole"
        self.text = self.text[: seq - len(part)] + part
        self.events += 1

    async def until(self, text: str) -> None:
        """Wait until the client has this text."""
        async with asyncio.timeout(patient(5.0)):
            while self.text != text:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)


def running(type_: str = "text", task_id: str = "t-1") -> Task:
    """A running task."""
    return msgspec.structs.replace(make_task(TaskStatus.RUNNING), type=type_, id=TaskId(task_id))


def write(node: Node, task: Task, text: WrittenText, part: str) -> None:
    """The worker of a node writes a part."""
    text.write(text.chars, part)
    node.outputs.announce_text(task.id, text)


@asynccontextmanager
async def two_nodes(folder: Path, **options: int) -> AsyncIterator[tuple[Node, Node]]:
    """The leader and another process."""
    async with UnixBus(folder, 0, 2, **options) as first, UnixBus(folder, 1, 2) as second:
        nodes = Node(first), Node(second)
        first.take_role(ROLE)
        async with asyncio.timeout(patient(5.0)):
            while second.holder(ROLE) is None:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        yield nodes
        for node in nodes:
            await node.outputs.stop()


async def test_a_text_is_shown_in_both_processes(folder: Path) -> None:
    """Each client gets each part once, and one that joins gets all of it."""
    async with two_nodes(folder) as (leading, other):
        task, text = running(), WrittenText("p-1")
        for node in (leading, other):
            node.watch(task)

        write(leading, task, text, "Once")
        await other.until("Once")
        write(leading, task, text, " upon")

        for node in (leading, other):
            await node.until("Once upon")
            assert node.events == 2
            assert node.outputs.present(task.id) == leading.outputs.present(task.id)


async def test_a_process_without_the_text_reads_it_at_a_join(folder: Path) -> None:
    """From the leader; for pictures, and for texts that nobody has, nothing happens."""
    async with two_nodes(folder) as (leading, other):
        task, text = running(), WrittenText("p-1")
        write(leading, task, text, "Once")
        await other.until("")
        async with asyncio.timeout(patient(5.0)):
            while other.outputs.present(task.id) is None:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        other.outputs.end(task.id)

        await other.outputs.read(running("image"))
        assert other.outputs.present(task.id) is None
        await other.outputs.read(task)
        other.watch(task)
        write(leading, task, text, " upon")

        await other.until("Once upon")


async def test_a_part_that_was_lost_is_read(folder: Path) -> None:
    """The next part does not fit, so the process reads the text from the leader."""
    async with two_nodes(folder) as (leading, other):
        task, text = running(), WrittenText("p-1")
        other.watch(task)
        write(leading, task, text, "Once")
        await other.until("Once")
        other.outputs.end(task.id)

        write(leading, task, text, " upon")

        await other.until("Once upon")


async def test_a_queue_that_overflows_leaves_no_hole(folder: Path) -> None:
    """Dropped parts are a gap, and the text is read again."""
    async with two_nodes(folder, max_queue_bytes=2_000) as (leading, other):
        task, text = running(), WrittenText("p-1")
        other.watch(task)
        for number in range(200):
            write(leading, task, text, f"{number} ")
            leading.outputs.flush(task.id)
        assert leading.bus.counts.dropped > 0
        await asyncio.sleep(0)
        write(leading, task, text, "end")

        await other.until(text.text)


async def test_a_new_leader_continues_the_text(folder: Path) -> None:
    """It reads the text from the beginning; no client gets anything twice."""
    async with two_nodes(folder) as (leading, other):
        task, text = running(), WrittenText("p-1")
        for node in (leading, other):
            node.watch(task)
        write(leading, task, text, "Once upon")
        await other.until("Once upon")
        leading.bus.drop_role(ROLE)
        other.bus.take_role(ROLE)
        async with asyncio.timeout(patient(5.0)):
            while leading.bus.holder(ROLE) != 1:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)

        again = WrittenText("p-1")
        for part in ("Once", " upon", " a"):
            write(other, task, again, part)
            other.outputs.flush(task.id)

        for node in (leading, other):
            await node.until("Once upon a")
            assert node.events == 2


async def test_texts_without_clients_are_dropped_with_their_leader(folder: Path) -> None:
    """Their end may be lost, so they must not stay for ever."""
    async with two_nodes(folder) as (leading, other):
        watched, unwatched = running(), running(task_id="t-2")
        other.watch(watched)
        for task in (watched, unwatched):
            write(leading, task, WrittenText("p-1"), "Once")
        await other.until("Once")
        async with asyncio.timeout(patient(5.0)):
            while other.outputs.counts.texts < 2:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)

        other.outputs.gap(0)

        assert other.outputs.counts.texts == 1


@pytest.mark.parametrize("is_leader", [True, False])
async def test_without_another_process_nothing_is_read(folder: Path, *, is_leader: bool) -> None:
    """A leader has the texts itself; without a leader a join does not wait."""
    async with UnixBus(folder, 0, 1) as bus:
        node = Node(bus)
        if is_leader:
            bus.take_role(ROLE)

        await node.outputs.read(running())

        assert node.outputs.background == ()
        await node.outputs.stop()
