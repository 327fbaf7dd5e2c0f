"""Texts that are being written, in equal nodes: the one that runs the task writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from phoenix_compat.cluster import Bus, UnixBus
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.server.nodes.node_outputs import NodeOutputs
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
    """The outputs of one node, and a client that follows one text."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.stored_writer: int | None = None
        self.endpoint = Endpoint()
        self.outputs = NodeOutputs(self.endpoint, bus, TYPES, self._find)
        self.outputs.begin()
        self.text = ""
        self.events = 0

    async def _find(self, _task_id: str) -> int | None:
        return self.stored_writer

    async def join(self, task: Task) -> None:
        """Join: get the text so far, and then what follows."""
        await self.outputs.read(task)
        self.endpoint.subscribe(task.topic, self._receive)
        if (present := self.outputs.present(task.id)) is not None:
            self.text = present["text"]

    def _receive(self, broadcast: Broadcast) -> None:
        seq, part = broadcast.payload["seq"], broadcast.payload["text"]
        assert seq - len(part) <= len(self.text), "a hole"
        self.text = self.text[: seq - len(part)] + part
        self.events += 1

    def write(self, task: Task, text: WrittenText, part: str) -> None:
        """Write a part, as the worker does."""
        assert text.write(text.chars, part)
        self.outputs.announce_text(task.id, text)
        self.outputs.flush(task.id)

    async def until(self, text: str) -> None:
        """Wait until the client has this text."""
        async with asyncio.timeout(patient(5.0)):
            while self.text != text:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)

    async def until_known(self, task: Task) -> None:
        """Wait until this node has heard who writes the text."""
        async with asyncio.timeout(patient(5.0)):
            while self.outputs._writer_of(task.id) is None:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)


@asynccontextmanager
async def two_nodes(folder: Path) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes that hear each other."""
    async with UnixBus(folder, 0, 2) as first, UnixBus(folder, 1, 2) as second:
        nodes = Node(first), Node(second)
        await asyncio.gather(first.catch_up(), second.catch_up())
        yield nodes
        for node in nodes:
            await node.outputs.stop()


def running(task_id: str = "t-1") -> Task:
    """A running task that writes a text."""
    return msgspec.structs.replace(make_task(TaskStatus.RUNNING), id=TaskId(task_id), type="text")


async def test_a_text_reaches_the_clients_of_every_node(folder: Path) -> None:
    """Those that were there, and one that joins later."""
    async with two_nodes(folder) as (first, second):
        task, text = running(), WrittenText("p-1")
        await first.join(task)
        await second.join(task)
        first.write(task, text, "Once")
        await second.until("Once")

        first.write(task, text, " upon")

        for node in (first, second):
            await node.until("Once upon")


async def test_a_join_reads_the_text_from_the_node_that_writes_it(folder: Path) -> None:
    """A text that nobody watches is not kept by the other nodes."""
    async with two_nodes(folder) as (first, second):
        task, text = running(), WrittenText("p-1")
        first.write(task, text, "Once")
        await second.until_known(task)
        assert second.outputs.counts.texts == 0

        await second.join(task)
        assert second.text == "Once"
        first.write(task, text, " upon")

        await second.until("Once upon")


async def test_a_join_finds_the_writer_in_the_store(folder: Path) -> None:
    """This node may have started after the last part was told."""
    async with two_nodes(folder) as (first, second):
        task, text = running(), WrittenText("p-1")
        first.write(task, text, "Once")
        await second.until_known(task)
        second.outputs.end(task.id)
        second.stored_writer = 0

        await second.join(task)

        assert second.text == "Once"


async def test_another_node_continues_the_text(folder: Path) -> None:
    """It reads the text from the beginning; no client gets anything twice."""
    async with two_nodes(folder) as (first, second):
        task, text = running(), WrittenText("p-1")
        for node in (first, second):
            await node.join(task)
        first.write(task, text, "Once upon")
        await second.until("Once upon")

        again = WrittenText("p-1")
        for part in ("Once", " upon", " a"):
            second.write(task, again, part)

        for node in (first, second):
            await node.until("Once upon a")
            assert node.events == 2
        assert not first.outputs._is_written_here(task.id)


async def test_texts_of_a_node_that_ended_are_dropped(folder: Path) -> None:
    """Unless a client watches them: the node that takes over continues them."""
    async with two_nodes(folder) as (first, second):
        watched, unwatched = running(), running("t-2")
        await second.join(watched)
        for task in (watched, unwatched):
            first.write(task, WrittenText("p-1"), "Once")
        await second.until("Once")
        await second.until_known(unwatched)

        second.outputs.down(0)

        assert second.outputs.counts.texts == 1
        assert second.outputs._writer_of(unwatched.id) is None
