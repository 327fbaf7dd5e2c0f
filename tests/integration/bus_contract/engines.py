"""The engines that the contract suite runs against, and how each makes a bus of one node."""

from __future__ import annotations

import itertools
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from phoenix_compat.cluster.brokers import BrokerBus, NatsBus, PostgresBus, RedisBus
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBroker
from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.unix import UnixBus
from tests.integration.cluster.brokers.machine import Machine
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer
from tests.unit.cluster.harness import RecordingListener

BEAT_S: Final = 0.2
"""The heartbeat of the nodes of these tests; a busy machine must not make them deaf by chance."""
_UNIX_NODES: Final = 4


@dataclass(frozen=True)
class Engine:
    """One engine in one test.

    Attributes:
        name: of the engine.
        make: makes a bus that is not open, of a further node; takes options that all buses have,
            and `heartbeat_s` for those that have one.
        has_broker: whether the nodes meet at a server, which may lose messages.
    """

    name: str
    make: Callable[..., Bus]
    has_broker: bool

    @asynccontextmanager
    async def nodes(self, count: int = 2, **options: Any) -> AsyncIterator[list[RecordingListener]]:
        """The listeners of `count` nodes, each of which knows that all others are up."""
        async with AsyncExitStack() as stack:
            listeners = []
            for _ in range(count):
                bus = self.make(**options)
                await stack.enter_async_context(bus)
                listeners.append(RecordingListener(bus))
            for one in listeners:
                events = await one.next_many(count - 1)
                assert {event for event, *_ in events} <= {"up"}
            yield listeners


@contextmanager
def _unix(_request: pytest.FixtureRequest) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="bus-") as folder:
        numbers = itertools.count()

        def make(**options: Any) -> Bus:
            options.pop("heartbeat_s", None)  # the end of a stream says it
            return UnixBus(Path(folder), next(numbers) % _UNIX_NODES, _UNIX_NODES, **options)

        yield Engine("unix", make, has_broker=False)


@contextmanager
def _memory(_request: pytest.FixtureRequest) -> Iterator[Engine]:
    server = MemoryServer()

    def make(**options: Any) -> Bus:
        return BrokerBus(MemoryBroker(server), **{"heartbeat_s": BEAT_S} | options)

    yield Engine("memory", make, has_broker=True)


@contextmanager
def _redis(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url: str = request.getfixturevalue("redis_url")
    yield Engine("redis", _broker_maker(RedisBus, url), has_broker=True)


@contextmanager
def _nats(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url: str = request.getfixturevalue("nats_url")
    yield Engine("nats", _broker_maker(NatsBus, url), has_broker=True)


@contextmanager
def _postgres(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url: str = request.getfixturevalue("postgres_url")
    yield Engine("postgres", _broker_maker(PostgresBus, url), has_broker=True)


@contextmanager
def _siblings(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Of three nodes two are processes of one machine, and share a connection."""
    url: str = request.getfixturevalue("redis_url")
    with tempfile.TemporaryDirectory(prefix="bus-") as folder:
        machine, numbers = Machine(Path(folder)), itertools.count()

        def make(**options: Any) -> Bus:
            given: dict[str, Any] = {"heartbeat_s": BEAT_S} | options
            if next(numbers) % 3 == 2:
                return RedisBus(url, prefix=machine.prefix, **given)
            return machine.bus(RedisBroker(url), **given)

        yield Engine("siblings", make, has_broker=True)


def _broker_maker(kind: Callable[..., Bus], url: str) -> Callable[..., Bus]:
    """Makes buses of a kind that meet at a server, apart from those of other tests."""
    prefix = f"contract-{secrets.token_hex(4)}"

    def make(**options: Any) -> Bus:
        return kind(url, **{"prefix": prefix, "heartbeat_s": BEAT_S} | options)

    return make


ENGINES: Final = {
    "unix": _unix,
    "memory": _memory,
    "redis": _redis,
    "nats": _nats,
    "postgres": _postgres,
    "siblings": _siblings,
}
