"""Presence of three nodes when Redis is restarted, stopped, or drops all connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from phoenix_compat import Endpoint, Guest, Presence, RedisBus
from phoenix_compat.cluster.sharing import EndpointBus
from tests.patience import patient
from tests.services.redis import OwnRedis

TOPIC = "room:a"
RIGHT_AGAIN_BEATS = 10.0
"""20 s with the usual heartbeat of 2 s."""
PAUSE_BEATS = 12.0
"""Long enough that each node takes the others for dead."""


class Node:
    """An endpoint on the bus, with one guest."""

    def __init__(self, url: str, name: str, heartbeat_s: float) -> None:
        self.bus = RedisBus(url, heartbeat_s=heartbeat_s, call_timeout_s=2 * heartbeat_s)
        self.endpoint = Endpoint()
        self.presence = Presence(self.endpoint)
        self.shared = EndpointBus(self.bus)
        self.guest = Guest(TOPIC)
        self.presence.track(self.guest, name, {})

    @property
    def listed(self) -> list[str]:
        """Who is present, for this node."""
        return sorted(self.presence.list(TOPIC))


@asynccontextmanager
async def nodes(redis: OwnRedis, heartbeat_s: float) -> AsyncIterator[list[Node]]:
    """Three nodes that know each other."""
    async with AsyncExitStack() as stack:
        found = [Node(redis.url, name, heartbeat_s) for name in ("ann", "bob", "eve")]
        for node in found:
            await node.shared.open(node.endpoint)
            stack.push_async_callback(node.shared.close)
        await agree(found, ["ann", "bob", "eve"], 10.0)
        yield found


async def agree(found: list[Node], expected: list[str], limit_s: float) -> None:
    """Wait until all nodes list these."""
    async with asyncio.timeout(patient(limit_s)):
        while any(node.listed != expected for node in found):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)


async def restart(redis: OwnRedis, found: list[Node], heartbeat_s: float) -> None:
    """It is away for less than a heartbeat."""
    await asyncio.to_thread(redis.kill)
    change(found)
    await asyncio.to_thread(redis.start)


async def pause(redis: OwnRedis, found: list[Node], heartbeat_s: float) -> None:
    """It takes connections and answers nothing, until each node is alone."""
    redis.pause()
    await asyncio.sleep(PAUSE_BEATS * heartbeat_s)
    async with asyncio.timeout(patient(PAUSE_BEATS * heartbeat_s)):
        while any(len(node.listed) > 1 for node in found):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    assert all(node.bus.is_deaf for node in found)
    change(found)
    redis.resume()


async def drop(redis: OwnRedis, found: list[Node], heartbeat_s: float) -> None:
    """It closes all connections, twice."""
    for _ in range(2):
        await asyncio.to_thread(redis.command, "CLIENT KILL TYPE pubsub")
        await asyncio.to_thread(redis.command, "CLIENT KILL TYPE normal SKIPME yes")
        await asyncio.sleep(heartbeat_s / 2)
    change(found)


def change(found: list[Node]) -> None:
    """One guest goes and another comes."""
    found[0].guest.end()
    found[1].presence.track(Guest(TOPIC), "zoe", {})


@pytest.mark.parametrize("fault", [restart, pause, drop])
@pytest.mark.parametrize(
    "heartbeat_s", [0.1, pytest.param(2.0, marks=pytest.mark.long)], ids=["short", "usual"]
)
async def test_presence_is_right_again(
    own_redis: OwnRedis,
    heartbeat_s: float,
    fault: Callable[[OwnRedis, list[Node], float], Awaitable[None]],
) -> None:
    """Within ten heartbeats after Redis is back, and nobody has to do anything."""
    async with nodes(own_redis, heartbeat_s) as found:
        await fault(own_redis, found, heartbeat_s)

        await agree(found, ["bob", "eve", "zoe"], RIGHT_AGAIN_BEATS * heartbeat_s)
