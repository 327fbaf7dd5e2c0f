"""Processes of one machine on one connection to a real broker."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.cluster.brokers.broker import Broker
from phoenix_compat.cluster.brokers.drivers.nats_broker import NatsBroker
from phoenix_compat.cluster.brokers.drivers.postgres_broker import PostgresBroker
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBroker
from tests.integration.cluster.brokers import sibling_process
from tests.integration.cluster.brokers.machine import Machine
from tests.integration.cluster.brokers.two_nodes import two_nodes
from tests.patience import patient
from tests.services.redis import OwnRedis

BEAT_S = 0.1
RIGHT_AGAIN_S = 5.0
ROOT = Path(__file__).parents[4]
CLASSES: dict[str, Callable[[str], Broker]] = {
    "nats": NatsBroker,
    "postgres": PostgresBroker,
    "redis": RedisBroker,
}


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine with a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bus-") as name:
        yield Machine(Path(name))


@asynccontextmanager
async def all_up(*buses: BrokerBus) -> AsyncIterator[None]:
    """All buses are open, and know each other."""
    async with AsyncExitStack() as stack:
        for bus in buses:
            await stack.enter_async_context(bus)
        for bus in buses:
            assert await bus.catch_up(patient(10.0))
        async with asyncio.timeout(patient(10.0)):
            while not all(len(bus.up) == len(buses) - 1 for bus in buses):  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.01)
        yield


async def test_they_have_one_pair_of_connections_to_postgres(
    machine: Machine, postgres_url: str
) -> None:
    """One that listens, and one that notifies."""
    buses = [machine.bus(PostgresBroker(postgres_url)) for _ in range(3)]
    async with all_up(*buses):
        connection = await asyncpg.connect(postgres_url)
        rows = await connection.fetch(
            "SELECT application_name FROM pg_stat_activity"
            " WHERE application_name LIKE 'phoenix_compat bus%' AND datname = current_database()"
            " ORDER BY 1"
        )
        await connection.close()
    assert [row[0] for row in rows] == ["phoenix_compat bus listens", "phoenix_compat bus notifies"]


@pytest.fixture(params=sorted(CLASSES))
def connect(request: pytest.FixtureRequest) -> Callable[[], Broker]:
    """Makes brokers of one class, for a server that all tests share."""
    url = request.getfixturevalue(f"{request.param}_url")
    return lambda: CLASSES[request.param](url)


async def test_long_messages_reach_all(machine: Machine, connect: Callable[[], Broker]) -> None:
    """Also in parts, and to a node of another machine."""
    other = BrokerBus(connect(), prefix=machine.prefix)
    buses: list[BrokerBus] = [*(machine.bus(connect()) for _ in range(2)), other]
    body = secrets.token_bytes(2**21 + 1)
    heard: dict[int, bytes] = {}
    for index, bus in enumerate(buses):
        bus.on_cast("long", partial(_note, heard, index))
    async with all_up(*buses):
        buses[1].cast("long", body)
        async with asyncio.timeout(patient(10.0)):
            while len(heard) < 2:  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.01)
    assert heard == {0: body, 2: body}


def _note(heard: dict[int, bytes], index: int, _node: int, data: bytes) -> None:
    assert index not in heard
    heard[index] = data


async def test_when_the_holder_is_killed_nothing_is_missed_unnoticed(
    machine: Machine, own_redis: OwnRedis
) -> None:
    """Its siblings are right again soon, with one connection for both."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", sibling_process.__name__, own_redis.url, str(machine.folder), machine.prefix),
        *("-1", *map(str, machine.inboxes)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(patient(20.0)):
            node = int(await process.stdout.readline())
        async with two_nodes(lambda: machine.bus(RedisBroker(own_redis.url))) as nodes:
            assert all(node in hearing.bus.up for hearing in nodes.hearings)
            before = await asyncio.to_thread(own_redis.client_ids)
            assert len(before) == 2  # one subscribes, and one publishes

            process.kill()
            await process.wait()

            await nodes.are_right(20.0)
            async with asyncio.timeout(patient(5.0)):
                while True:
                    after = await asyncio.to_thread(own_redis.client_ids)
                    if len(after) == 2 and not before & after:
                        break
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_restart_of_the_broker_is_a_gap(machine: Machine, own_redis: OwnRedis) -> None:
    """Nothing is missed unnoticed, between siblings too."""
    async with two_nodes(lambda: machine.bus(RedisBroker(own_redis.url), BEAT_S)) as nodes:
        for _ in range(2):
            await own_redis.restart()
            await nodes.are_right(RIGHT_AGAIN_S)


async def test_a_broker_that_hangs_makes_deaf(machine: Machine, own_redis: OwnRedis) -> None:
    """All siblings, although they could hear each other; and all are right again."""
    async with two_nodes(lambda: machine.bus(RedisBroker(own_redis.url), BEAT_S)) as nodes:
        await asyncio.to_thread(own_redis.pause)
        await nodes.are_deaf(3.0)
        await asyncio.to_thread(own_redis.resume)
        await nodes.are_right(RIGHT_AGAIN_S)
