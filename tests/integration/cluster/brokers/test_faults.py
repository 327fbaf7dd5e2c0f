"""What nodes do when their broker fails: none is deaf without knowing it, and all is right again.

In the short form a heartbeat is a tenth of a second: who hears nothing for half a second is deaf,
and who is not heard for 0.75 s is down. `make test-long` has the usual heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg
import pytest

from phoenix_compat.cluster.brokers import NatsBus, PostgresBus, RedisBus
from phoenix_compat.cluster.bus import Bus
from tests.integration.cluster.brokers.two_nodes import two_nodes
from tests.services.network import open_network
from tests.services.own import OwnServer
from tests.services.redis import OwnRedis

BEAT_S = 0.1
RIGHT_AGAIN_S = 5.0
CLASSES: dict[str, Callable[..., Bus]] = {
    "nats": NatsBus,
    "postgres": PostgresBus,
    "redis": RedisBus,
}


@dataclass(frozen=True)
class Own:
    """A broker of a test's own, and how to make a node of it."""

    server: OwnServer
    url: str
    kind: Callable[..., Bus]

    def make(self) -> Bus:
        """A node with a quick heartbeat."""
        return self.kind(self.url, heartbeat_s=BEAT_S)


@pytest.fixture(params=sorted(CLASSES))
def own(request: pytest.FixtureRequest) -> Own:
    """A server of the test's own."""
    server = request.getfixturevalue(f"own_{request.param}")
    return Own(server, server.url, CLASSES[request.param])


async def test_a_restart_of_the_broker_is_a_gap(own: Own) -> None:
    """Nothing is missed unnoticed, however short the restart is."""
    async with two_nodes(own.make) as nodes:
        for _ in range(2):
            await own.server.restart()
            await nodes.are_right(RIGHT_AGAIN_S)


async def test_nodes_without_their_broker_know_that_they_are_deaf(own: Own) -> None:
    """They say so while it is away, and hear again when it is back."""
    async with two_nodes(own.make) as nodes:
        await asyncio.to_thread(own.server.kill)
        await nodes.are_deaf(3.0)
        await asyncio.to_thread(own.server.start)
        await nodes.are_right(RIGHT_AGAIN_S)
        assert all(hearing.bus.counts.deaf == 1 for hearing in nodes.hearings)


async def test_a_broker_that_hangs_makes_deaf(own: Own) -> None:
    """Its connections look healthy, and nothing comes back."""
    async with two_nodes(own.make) as nodes:
        await asyncio.to_thread(own.server.pause)
        await nodes.are_deaf(3.0)
        await asyncio.to_thread(own.server.resume)
        await nodes.are_right(RIGHT_AGAIN_S)


async def test_a_network_that_swallows_everything_makes_deaf(own: Own) -> None:
    """No end of a connection is heard of; new ones are swallowed too."""
    parts = urlsplit(own.url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with open_network(parts.hostname, parts.port) as network:
        url = own.url.replace(f":{parts.port}", f":{network.port}")
        async with two_nodes(Own(own.server, url, own.kind).make) as nodes:
            network.cut()
            await nodes.are_deaf(3.0)
            network.heal()
            await nodes.are_right(RIGHT_AGAIN_S)


@pytest.mark.parametrize("ended", ["bus listens", "bus notifies", "bus %"])
async def test_backends_that_are_ended_are_replaced(postgres_url: str, ended: str) -> None:
    """Of the listening connections, of the notifying ones, and of both."""
    async with two_nodes(lambda: PostgresBus(postgres_url, heartbeat_s=BEAT_S)) as nodes:
        administrator = await asyncpg.connect(postgres_url)
        backends = await administrator.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name LIKE $1",
            f"phoenix_compat {ended}",
        )
        await administrator.close()
        assert len(backends) == (4 if "%" in ended else 2)
        await nodes.are_right(RIGHT_AGAIN_S)


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_connections_that_redis_ends_are_replaced(own_redis: OwnRedis, kind: str) -> None:
    """Of those that subscribe, and of those that publish."""
    async with two_nodes(lambda: RedisBus(own_redis.url, heartbeat_s=BEAT_S)) as nodes:
        connects = [hearing.bus.counts.connects for hearing in nodes.hearings]
        answer = await asyncio.to_thread(own_redis.command, "CLIENT", "KILL", "TYPE", kind)
        assert answer.startswith(":2")
        await nodes.are_right(RIGHT_AGAIN_S)
        assert [hearing.bus.counts.connects for hearing in nodes.hearings] > connects


async def test_a_pause_of_redis_makes_deaf(own_redis: OwnRedis) -> None:
    """It takes connections and commands, and answers none of them."""
    async with two_nodes(lambda: RedisBus(own_redis.url, heartbeat_s=BEAT_S)) as nodes:
        await asyncio.to_thread(own_redis.command, "CLIENT", "PAUSE", "2000", "ALL")
        await nodes.are_deaf(1.5)
        await nodes.are_right(RIGHT_AGAIN_S)


async def test_a_subscription_that_redis_ends_is_made_again(own_redis: OwnRedis) -> None:
    """An administrator, or a change of the rights, ends the subscription; nobody says so."""
    url = own_redis.url.replace("://", "://bus:secret@")
    rights = ("ACL", "SETUSER", "bus", "on", ">secret", "+@all")
    await asyncio.to_thread(own_redis.command, *rights, "allchannels")
    async with two_nodes(lambda: RedisBus(url, heartbeat_s=BEAT_S)) as nodes:
        await asyncio.to_thread(own_redis.command, *rights, "resetchannels")
        await nodes.are_deaf(3.0)
        await asyncio.to_thread(own_redis.command, *rights, "allchannels")
        await nodes.are_right(RIGHT_AGAIN_S)


@pytest.mark.long
@pytest.mark.timeout(200)
async def test_a_broker_that_hangs_for_a_minute(own: Own) -> None:
    """With the usual heartbeat: deaf after ten seconds, and right again within 20 s."""
    async with two_nodes(lambda: own.kind(own.url)) as nodes:
        await asyncio.to_thread(own.server.pause)
        await nodes.are_deaf(13.0)
        await asyncio.sleep(50.0)
        await asyncio.to_thread(own.server.resume)
        await nodes.are_right(20.0)


@pytest.mark.long
@pytest.mark.timeout(200)
async def test_a_broker_that_is_away_for_half_a_minute(own: Own) -> None:
    """The same for one that crashes and comes back."""
    async with two_nodes(lambda: own.kind(own.url)) as nodes:
        await own.server.restart(down_s=30.0)
        await nodes.are_right(20.0)
