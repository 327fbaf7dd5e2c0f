"""What every broker must do, with real servers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import pytest

from phoenix_compat.cluster.brokers.broker import Broker, BrokerError
from phoenix_compat.cluster.brokers.drivers.nats_broker import NatsBroker
from phoenix_compat.cluster.brokers.drivers.notifications import MAX_INLINE_BYTES
from phoenix_compat.cluster.brokers.drivers.postgres_broker import PostgresBroker
from phoenix_compat.cluster.brokers.drivers.redis_broker import RedisBroker
from tests.integration.cluster.brokers.broker_client import running
from tests.patience import patient
from tests.services.own import OwnServer

CLASSES: dict[str, Callable[[str], Broker]] = {
    "nats": NatsBroker,
    "postgres": PostgresBroker,
    "redis": RedisBroker,
}

Connect = Callable[[], Broker]


@pytest.fixture(params=sorted(CLASSES))
def connect(request: pytest.FixtureRequest) -> Connect:
    """Makes brokers of one class, for a server that all tests share."""
    url = request.getfixturevalue(f"{request.param}_url")
    return lambda: CLASSES[request.param](url)


@pytest.fixture(params=sorted(CLASSES))
def own(request: pytest.FixtureRequest) -> tuple[OwnServer, Broker]:
    """A server of the test's own and a broker for it."""
    server = request.getfixturevalue(f"own_{request.param}")
    return server, CLASSES[request.param](server.url)


@pytest.fixture
def prefix() -> str:
    """What the subjects of a test begin with."""
    return f"test-{uuid.uuid4().hex[:12]}"


async def test_messages_arrive_in_order_on_all_subjects(connect: Connect, prefix: str) -> None:
    """Both ends get the messages of one connection in the order in which they were published."""
    everybody, one = f"{prefix}.all", f"{prefix}.1"
    sent = [(one if n % 3 == 1 else everybody, b"%d" % n) for n in range(500)]
    async with running(connect(), everybody, one) as first, running(connect(), everybody) as second:
        for subject, data in sent:
            assert first.broker.publish(subject, data)
        assert await first.wait_for(len(sent)) == sent
        casts = [message for message in sent if message[0] == everybody]
        assert await second.wait_for(len(casts)) == casts


@pytest.mark.parametrize(
    "size", [0, 1, MAX_INLINE_BYTES - 11, MAX_INLINE_BYTES - 9, 100_000, 2**20]
)
async def test_no_byte_is_altered(connect: Connect, prefix: str, size: int) -> None:
    """Data of any size that the broker takes arrives as it was, among others, in order."""
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with running(connect(), prefix) as client:
        assert client.broker.max_payload_bytes >= size
        for message in (b"before", data, data, b"after"):
            assert client.broker.publish(prefix, message)
        received = [message for _, message in await client.wait_for(4)]
    assert received == [b"before", data, data, b"after"]


async def test_what_cannot_be_sent_is_refused(connect: Connect, prefix: str) -> None:
    """`publish` says so without a connection, and if the data is too long."""
    broker = connect()
    assert not broker.publish(prefix, b"early")
    async with running(broker, prefix):
        assert not broker.publish(prefix, bytes(broker.max_payload_bytes + 1))
        sent = 0
        while broker.publish(prefix, bytes(2**20)):
            sent += 1
        assert 0 < sent <= 16
    assert not broker.publish(prefix, b"late")


async def test_a_restart_of_the_server_ends_the_run(
    own: tuple[OwnServer, Broker], prefix: str
) -> None:
    """The loss of the connection is an error without secrets, and the next run is whole again."""
    server, broker = own
    async with running(broker, prefix) as client:
        await asyncio.to_thread(server.kill)
        async with asyncio.timeout(patient(10.0)):
            with pytest.raises(BrokerError) as lost:
                await client.run
    async with asyncio.timeout(patient(10.0)):
        with pytest.raises(BrokerError) as refused:
            await broker.run([prefix], lambda *_: None, lambda: None)
    await asyncio.to_thread(server.start)
    async with running(broker, prefix) as client:
        broker.publish(prefix, b"again")
        assert await client.wait_for(1) == [(prefix, b"again")]
    texts = f"{lost.value} {refused.value} {broker.name}"
    assert "kept-secret" not in texts
    assert str(refused.value) == "Connection refused"


async def test_a_run_on_a_server_that_hangs_ends_at_once(
    own: tuple[OwnServer, Broker], prefix: str
) -> None:
    """A cancel does not wait for a server that does nothing any more."""
    server, broker = own
    async with running(broker, prefix) as client:
        await asyncio.to_thread(server.pause)
        while broker.publish(prefix, bytes(2**20)):
            pass
        async with asyncio.timeout(patient(3.0)):
            await client.stop()
        await asyncio.to_thread(server.resume)
    async with running(broker, prefix) as client:
        broker.publish(prefix, b"again")
        assert (prefix, b"again") in await client.wait_for(1)
