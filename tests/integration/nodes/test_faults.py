"""What a node answers while its database, or the bus, is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.server.channel.feed import TaskFeed
from phoenix_compat.server.metrics.metrics import METRICS
from phoenix_compat.server.nodes.node_feed import NodeFeed
from tests.integration.nodes.nodes_harness import (
    RunningNode,
    node_settings,
    running_node,
    running_nodes,
    shared_emulator,
)
from tests.patience import patient
from tests.services.network import Network, open_network
from tests.services.postgres import OwnPostgres
from tests.services.redis import OwnRedis
from tests.wire import PhoenixWire

MONK = {"input_data": {"type": "image", "prompt": "Medieval monk"}}


@pytest.fixture
async def network(postgres_url: str) -> AsyncIterator[Network]:
    """The way to the database."""
    parts = urlsplit(postgres_url)
    assert parts.hostname
    assert parts.port
    async with open_network(parts.hostname, parts.port) as network:
        yield network


@pytest.fixture
async def node(tmp_path: Path, postgres_url: str, network: Network) -> AsyncIterator[RunningNode]:
    """A node that reaches its database through a network which may fail."""
    parts = urlsplit(postgres_url)
    login = parts.netloc.rpartition("@")[0]
    url = parts._replace(netloc=f"{login}@127.0.0.1:{network.port}").geturl()
    async with (
        shared_emulator() as emulator,
        running_node(node_settings(tmp_path, url, emulator)) as node,
    ):
        yield node


async def test_a_database_that_is_away_is_said_at_once(node: RunningNode, network: Network) -> None:
    """POST is answered with 503 within five seconds, and joins are refused for now."""
    task_id = await node.post()
    await node.ended(task_id)
    network.break_connections(refuse=True)

    began_s = time.monotonic()
    async with node._http.post(f"{node.url}/api/tasks", json=MONK) as answer:
        assert (answer.status, answer.headers["Retry-After"].isdigit()) == (503, True)
        assert (await answer.json())["type"].endswith("unavailable")
    assert time.monotonic() - began_s < patient(5.0)
    wire = await PhoenixWire.open(node.url)
    await wire.send(["1", "1", f"task:{task_id}", "phx_join", {}])
    assert (await wire.recv())[4] == {"response": {"reason": "unavailable"}, "status": "error"}
    await wire.close()
    status, ready = await node.request("GET", "/readyz")
    assert (status, ready["status"], ready["store"]["state"]) == (
        503,
        "unavailable",
        "unavailable",
    )
    assert (await node.request("GET", "/healthz"))[0] == 200

    network.heal()

    async with asyncio.timeout(patient(20.0)):
        while (await node.request("POST", "/api/tasks", json=MONK))[0] != 202:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
    await (await node.watch(task_id)).to_the_end()


async def test_a_deaf_node_is_not_ready(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its load balancer sends clients elsewhere; those that it has get their results, but later."""
    monkeypatch.setattr(NodeFeed, "announce", TaskFeed.announce)  # no hints
    monkeypatch.setattr("phoenix_compat.server.nodes.node_feed.DEAF_POLL_S", 0.05)
    monkeypatch.setattr(BrokerBus, "is_deaf", property(lambda _bus: True))
    async with running_nodes(tmp_path, postgres_url) as (first, second):
        status, ready = await second.request("GET", "/readyz")
        assert (status, ready["status"], ready["bus"]["state"]) == (503, *["unavailable"] * 2)

        heard = await second.follow(await first.post())

    assert heard[-1]["status"] == "completed"


async def _outlast(nodes: Sequence[RunningNode], restart: Callable[[], Awaitable[None]]) -> None:
    """Restart something while tasks run; each client, at another node, gets its picture."""
    first, second = nodes
    watches = [await second.watch(await first.post()) for _ in range(4)]
    for watch in watches:
        while (await watch.next())["progress"] == 0.0:
            pass

    await restart()

    for watch in watches:
        assert (await watch.to_the_end())[-1]["status"] == "completed"


async def test_a_crash_of_the_database_loses_nothing(
    tmp_path: Path, own_postgres: OwnPostgres
) -> None:
    """Results are kept until they can be stored, and nothing is created again."""
    async with (
        shared_emulator(speed=5.0) as emulator,
        running_nodes(tmp_path, own_postgres.url, emulator=emulator) as nodes,
    ):
        await _outlast(nodes, partial(own_postgres.restart, down_s=1.0))

        assert emulator.state.counts["created"] == 4
        async with asyncio.timeout(patient(20.0)):
            while (await nodes[0].request("GET", "/readyz"))[0] != 200:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)


async def test_a_restart_of_the_bus_loses_nothing(
    tmp_path: Path, postgres_url: str, own_redis: OwnRedis
) -> None:
    """What was told meanwhile is read from the database."""
    async with (
        shared_emulator(speed=5.0) as emulator,
        running_nodes(
            tmp_path, postgres_url, emulator=emulator, bus_url=SecretStr(own_redis.url)
        ) as nodes,
    ):
        await _outlast(nodes, partial(own_redis.restart, down_s=1.0))

        async with asyncio.timeout(patient(20.0)):
            while (await nodes[0].app[METRICS].snapshot()).processes != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
