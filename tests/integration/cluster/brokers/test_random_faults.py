"""Random faults of Redis, one after the other: `make test-long`."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from phoenix_compat.cluster.brokers import RedisBus
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBroker
from phoenix_compat.cluster.bus import Bus
from tests.integration.cluster.brokers.machine import Machine
from tests.integration.cluster.brokers.two_nodes import TwoNodes, two_nodes
from tests.services.network import Network, open_network
from tests.services.redis import OwnRedis

BEAT_S = 0.1
ROUNDS = 25
RIGHT_AGAIN_S = 5.0
"""Thirty heartbeats and a connect that hangs."""


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("are_siblings", [False, True], ids=["two machines", "one machine"])
async def test_no_loss_is_unknown(own_redis: OwnRedis, seed: int, *, are_siblings: bool) -> None:
    """After each fault both nodes hear each other again, and know of all that they have missed."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(open_network("127.0.0.1", own_redis.port))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bus-")))
        machine = Machine(folder)
        url = f"redis://127.0.0.1:{network.port}"

        def make() -> Bus:
            if are_siblings:
                return machine.bus(RedisBroker(url), BEAT_S)
            return RedisBus(url, heartbeat_s=BEAT_S)

        async with two_nodes(make) as nodes:
            faults = _faults(own_redis, network, rng, nodes)
            for _ in range(ROUNDS):
                await rng.choice(faults)()
                await nodes.are_right(RIGHT_AGAIN_S)


def _faults(
    redis: OwnRedis, network: Network, rng: random.Random, nodes: TwoNodes
) -> list[Callable[[], Awaitable[None]]]:
    def while_it_lasts() -> float:
        return rng.choice([0.0, 0.05, 0.3, 0.8, 1.5])

    async def command(*words: str) -> None:
        await asyncio.to_thread(redis.command, *words)

    async def restart() -> None:
        await redis.restart(down_s=while_it_lasts())

    async def pause() -> None:
        await asyncio.to_thread(redis.pause)
        await asyncio.sleep(while_it_lasts())
        await asyncio.to_thread(redis.resume)

    async def hold_commands() -> None:
        await command("CLIENT", "PAUSE", str(int(while_it_lasts() * 1_000) + 1), "ALL")

    async def end_connections() -> None:
        await command("CLIENT", "KILL", "TYPE", rng.choice(["pubsub", "normal"]))

    async def swallow() -> None:
        network.cut()
        await asyncio.sleep(while_it_lasts())
        network.heal()

    async def refuse() -> None:
        network.break_connections(refuse=True)
        await asyncio.sleep(while_it_lasts())
        network.heal()

    async def flood() -> None:
        for hearing in nodes.hearings:
            for _ in range(rng.randrange(40)):
                hearing.bus.cast("noise", bytes(2**20))

    return [restart, pause, hold_commands, end_connections, swallow, refuse, flood]
