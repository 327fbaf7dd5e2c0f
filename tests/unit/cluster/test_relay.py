"""Broadcasts over the bus."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat import Endpoint
from phoenix_compat.cluster import PubSubRelay
from phoenix_compat.errors import EncodeError
from phoenix_compat.protocol.message import Broadcast
from tests.patience import patient
from tests.unit.cluster.harness import RecordingListener, folder, nodes

__all__ = ["folder"]


@dataclass
class NewMsg:
    """A typed payload."""

    body: str


class Node:
    """An endpoint on the bus, with one subscriber of `room:a`."""

    def __init__(self, listener: RecordingListener) -> None:
        self.endpoint = Endpoint()
        PubSubRelay(self.endpoint.pubsub, listener.bus)
        self._heard: asyncio.Queue[Broadcast] = asyncio.Queue()
        self.endpoint.subscribe("room:a", self.receive)

    def receive(self, broadcast: Broadcast) -> None:
        """Record a broadcast."""
        self._heard.put_nowait(broadcast)

    async def next(self) -> tuple[str, Any]:
        """Event and payload of the next broadcast."""
        async with asyncio.timeout(patient(5.0)):
            broadcast = await self._heard.get()
        assert broadcast.topic == "room:a"
        return broadcast.event, broadcast.payload


async def test_a_broadcast_reaches_every_node_once(folder: Path) -> None:
    """The subscribers of each node get it once; nodes do not relay broadcasts from the bus."""
    async with nodes(folder, 3) as listeners:
        one, two, three = map(Node, listeners)

        for number in range(100):
            one.endpoint.broadcast("room:a", "msg", {"n": number})
        two.endpoint.broadcast("room:a", "end", {})

        for node in (one, three):
            heard = [await node.next() for _ in range(101)]
            assert sorted(heard[:-1], key=lambda one: one[0] == "end") == heard[:-1]
            numbers = [payload["n"] for event, payload in heard if event == "msg"]
            assert numbers == list(range(100))
        assert [listener.bus.counts.casts for listener in listeners] == [100, 1, 0]


@pytest.mark.parametrize(
    "payload",
    [{"a": 1.0, "b": [None, True, "ü\u2028"], "big": 2**70}, b"\x00\xff", [], None, "text", 1e300],
)
async def test_a_payload_arrives_as_it_was(folder: Path, payload: Any) -> None:
    """JSON of any type and bytes arrive unchanged."""
    async with nodes(folder) as listeners:
        one, two = map(Node, listeners)

        one.endpoint.broadcast("room:a", "msg", payload)

        event, heard = await two.next()
        assert (event, heard, type(heard)) == ("msg", payload, type(payload))


async def test_a_typed_object_arrives_as_json(folder: Path) -> None:
    """A dataclass is the same dict in every process."""
    async with nodes(folder) as listeners:
        one, two = map(Node, listeners)

        one.endpoint.broadcast("room:a", "msg", NewMsg("hi"))

        assert await one.next() == await two.next() == ("msg", {"body": "hi"})


async def test_local_broadcasts_stay_and_the_sender_gets_no_echo(folder: Path) -> None:
    """Local broadcasts stay in this process; the `_from` ones exclude one subscriber of it."""
    async with nodes(folder) as listeners:
        one, two = map(Node, listeners)

        one.endpoint.local_broadcast("room:a", "local", {})
        one.endpoint.broadcast_from(one.receive, "room:a", "from", {})
        one.endpoint.local_broadcast_from(one.receive, "room:a", "local_from", {})
        one.endpoint.broadcast("room:a", "end", {})

        assert [(await two.next())[0] for _ in range(2)] == ["from", "end"]
        assert [(await one.next())[0] for _ in range(2)] == ["local", "end"]


async def test_what_cannot_be_encoded_reaches_nobody(folder: Path) -> None:
    """The sender gets the error, whichever node the subscribers are on."""
    async with nodes(folder) as listeners:
        one, two = map(Node, listeners)

        with pytest.raises(EncodeError):
            one.endpoint.broadcast("room:a", "bad", {"x": object()})
        one.endpoint.broadcast("room:a", "good", {})

        assert (await two.next())[0] == "good"
        assert (await one.next())[0] == "good"


async def test_a_topic_without_subscribers_on_another_node(folder: Path) -> None:
    """A broadcast without subscribers on a node has no effect there."""
    async with nodes(folder) as listeners:
        one, two = map(Node, listeners)

        one.endpoint.broadcast("room:b", "msg", {})
        one.endpoint.broadcast("room:a", "end", {})

        assert (await two.next())[0] == "end"
