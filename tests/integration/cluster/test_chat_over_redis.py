"""A chat on two nodes that nothing connects but Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.integration.cluster.processes import (
    Joined,
    Server,
    a_secret,
    join_another,
    server,
    until,
    users,
)
from tests.patience import patient
from tests.polling import Poller
from tests.services.redis import OwnRedis
from tests.wire import PhoenixWire

TOPIC = "room:a"


@pytest.fixture
async def nodes(own_redis: OwnRedis, tmp_path: Path) -> AsyncIterator[list[Server]]:
    """A node under aiohttp and one under uvicorn."""
    secret = a_secret()
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                server(kind, tmp_path, CHAT_SECRET=secret, CHAT_BUS=own_redis.url)
            )
            for kind in ("aiohttp", "uvicorn node")
        ]


async def talk(*clients: Joined) -> None:
    """Let the first one say something until all hear it: a bus may lose a broadcast."""
    speaker = clients[0].wire
    hearing = [asyncio.create_task(until(client.wire, "said")) for client in clients]
    async with asyncio.timeout(patient(20.0)):
        while not all(each.done() for each in hearing):
            await speaker.send(["1", "say", TOPIC, "say", {"text": "hi"}])
            await asyncio.wait(hearing, timeout=0.5)
    assert [each.result() for each in hearing] == [{"text": "hi"}] * len(clients)


async def code_of_close(wire: PhoenixWire) -> int:
    """The code of the close frame; messages before it are read."""
    async with asyncio.timeout(patient(10.0)):
        while (frame := await wire.recv_frame()).opcode != 8:
            pass
    return frame.close_code


async def poll_elsewhere(urls: list[str]) -> list[object]:
    """Join and say something over long-polling, with each request at the other node."""
    poller = await Poller.open(urls[0])
    other = Poller(urls[1])
    other.token = poller.token
    await other.send(["1", "1", TOPIC, "phx_join", {}])
    await poller.send(["1", "2", TOPIC, "say", {"text": "polled"}])
    async with asyncio.timeout(patient(10.0)):
        while True:
            for message in await other.recv_some():
                if message[3] == "said":
                    return [message[4], poller.token == other.token]


async def test_a_chat_over_redis(nodes: list[Server], own_redis: OwnRedis) -> None:
    """Broadcasts, presences, `disconnect` and long-polling, and Redis restarted in the middle."""
    here, there = (node.url for node in nodes)
    ann = await join_another(here, "ann", TOPIC)
    bob = await join_another(there, "bob", TOPIC, ann.pid)
    for client in (ann, bob):
        await users(client.wire, TOPIC, ["ann", "bob"])
    await talk(ann, bob)
    polled = await poll_elsewhere([here, there])

    await asyncio.to_thread(own_redis.kill)
    await bob.wire.close()
    eve = await join_another(there, "eve", TOPIC, ann.pid)
    await asyncio.to_thread(own_redis.start)

    for client in (ann, eve):
        await users(client.wire, TOPIC, ["ann", "eve", "somebody"])
    await talk(ann, eve)
    await talk(eve, ann)
    assert await poll_elsewhere([there, here]) == polled == [{"text": "polled"}, True]
    await ann.wire.send(["1", "3", TOPIC, "kick", {"user": "eve"}])
    assert await code_of_close(eve.wire) == 1001
    await eve.wire.close()
    await ann.wire.close()
    for node in nodes:
        log = node.log.read_text()
        assert "Traceback" not in log
        assert "connecting again" in log


async def test_a_node_that_is_stopped_for_a_while_and_then_killed(nodes: list[Server]) -> None:
    """Its clients leave for the others, and are there again when it goes on, for both sides.

    When it is dead, its long-poll sessions answer 410 elsewhere.
    """
    here, there = (node.url for node in nodes)
    ann = await join_another(here, "ann", TOPIC)
    bob = await join_another(there, "bob", TOPIC, ann.pid)
    poller = await Poller.open(there)
    await users(ann.wire, TOPIC, ["ann", "bob"])

    os.kill(bob.pid, signal.SIGSTOP)
    try:
        await users(ann.wire, TOPIC, ["ann"])
        eve = await join_another(here, "eve", TOPIC)
    finally:
        os.kill(bob.pid, signal.SIGCONT)
    for client in (ann, bob, eve):
        await users(client.wire, TOPIC, ["ann", "bob", "eve"])
    await talk(bob, ann, eve)

    os.kill(bob.pid, signal.SIGKILL)
    await users(ann.wire, TOPIC, ["ann", "eve"])
    other = Poller(here)
    other.token = poller.token
    polled = await other.poll()
    for client in (ann, bob, eve):
        await client.wire.close()

    assert polled["status"] == 410
    assert polled["token"] != poller.token
