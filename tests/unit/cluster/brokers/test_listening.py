"""Commands hear a bus and try its broker, and no node sees them."""

from __future__ import annotations

import asyncio

from phoenix_compat.cluster.brokers import BrokerBus
from phoenix_compat.cluster.brokers.listening import echo_s, overhear
from tests.patience import patient
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer

FAST_S = 0.02


async def test_nodes_are_overheard() -> None:
    """All that are up, and none of them notices."""
    server = MemoryServer()
    buses = [BrokerBus(MemoryBroker(server), heartbeat_s=FAST_S) for _ in range(2)]
    async with buses[0], buses[1]:
        await asyncio.gather(*(bus.catch_up() for bus in buses))

        heard = await overhear(MemoryBroker(server), "phoenix_compat", patient(0.1))

        assert heard == frozenset(bus.node for bus in buses)
        assert [len(bus.up) for bus in buses] == [1, 1]


async def test_nobody_is_heard_under_another_name() -> None:
    """A broker that is there and one that is not are told apart."""
    server = MemoryServer()
    async with BrokerBus(MemoryBroker(server), heartbeat_s=FAST_S) as bus:
        await bus.catch_up()
        assert await overhear(MemoryBroker(server), "another", 0.1) == frozenset()
    server.stop()

    assert await overhear(MemoryBroker(server), "phoenix_compat", 0.1) is None


async def test_a_message_comes_back() -> None:
    """Unless the broker loses it, or is not there."""
    server = MemoryServer()
    took_s = await echo_s(MemoryBroker(server), "phoenix_compat", patient(2.0))
    assert took_s is not None
    assert 0.0 <= took_s < patient(2.0)
    server.loses = lambda _subject, _data: True
    assert await echo_s(MemoryBroker(server), "phoenix_compat", 0.05) is None
    server.stop()

    assert await echo_s(MemoryBroker(server), "phoenix_compat", 0.05) is None
