"""Which nodes are asked: all, or those that listen on the same port of the same machine."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from phoenix_compat.cluster import UnixBus
from phoenix_compat.server.nodes.node_processes import NodeProcesses
from tests.unit.cluster.harness import folder

__all__ = ["folder"]


async def test_siblings_are_those_of_one_place(folder: Path) -> None:
    """All are asked for sums, siblings for metrics, and this node for what every node has."""
    buses = [UnixBus(folder, number, 4) for number in range(4)]
    places = ["here", "here", "there", None]
    nodes = [NodeProcesses(bus, place) for bus, place in zip(buses, places, strict=True)]

    async def answer(node: int, _body: bytes) -> bytes:
        return str(node).encode()

    for number, node in enumerate(nodes):
        node.answer("who", partial(answer, number))
    async with buses[0], buses[1], buses[2], buses[3]:
        await asyncio.gather(*(bus.catch_up() for bus in buses))

        assert set((await nodes[0].ask_all("who")).by_node) == {0, 1, 2, 3}
        assert set((await nodes[0].ask_siblings("who")).by_node) == {0, 1}
        assert set((await nodes[2].ask_siblings("who")).by_node) == {2}
        assert set((await nodes[3].ask_siblings("who")).by_node) == {3}
        assert await nodes[0].ask_leader("who") == b"0"
        asked = nodes[0].counts.asked

        await nodes[0].ask_siblings("who")

    assert nodes[0].counts.asked - asked == 2  # nobody is asked for its place again
