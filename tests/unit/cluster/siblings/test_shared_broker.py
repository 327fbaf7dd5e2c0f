"""Siblings that share one connection, with a broker in this process."""

from __future__ import annotations

import asyncio
import secrets
import socket
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from phoenix_compat.cluster.brokers import BrokerBus, BrokerError
from phoenix_compat.cluster.brokers.addresses import INBOX_BITS, inbox_subject
from phoenix_compat.cluster.brokers.messages import Call, Cast, Hello, kind_of
from phoenix_compat.cluster.bus import CallHandler
from phoenix_compat.cluster.siblings import SharedBroker
from phoenix_compat.cluster.siblings.folder import SiblingFolder
from phoenix_compat.cluster.siblings.frames import Join, pack
from phoenix_compat.cluster.siblings.stream import Stream
from tests.patience import patient
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer
from tests.unit.cluster.brokers.memory_nodes import until
from tests.unit.cluster.harness import KIND, RecordingListener

BEAT_S = 0.1
PREFIX = "test"
SIZE = 4


class Machine:
    """The processes of one machine.

    Attributes:
        inboxes, shared: the inbox and the broker of each process.
        brokers: the connections that these would make.
        buses, listeners: the buses, and what each of them hears.
    """

    def __init__(self, server: MemoryServer, folder: Path) -> None:
        self.inboxes = inboxes = [secrets.randbits(INBOX_BITS) for _ in range(SIZE)]
        self.brokers = [MemoryBroker(server) for _ in inboxes]
        self.shared = [
            SharedBroker(broker, folder, prefix=PREFIX, inboxes=inboxes) for broker in self.brokers
        ]
        self.buses = [
            BrokerBus(one, prefix=PREFIX, inbox=inbox, heartbeat_s=BEAT_S)
            for one, inbox in zip(self.shared, inboxes, strict=True)
        ]
        self.listeners = [RecordingListener(bus) for bus in self.buses]

    @property
    def holders(self) -> list[int]:
        """The processes that have the connection."""
        return [number for number, one in enumerate(self.shared) if one.is_holder]


@pytest.fixture
def server() -> MemoryServer:
    """The server of the broker."""
    return MemoryServer()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a name that is short enough for socket paths."""
    with tempfile.TemporaryDirectory(prefix="bus-") as name:
        yield Path(name)


@asynccontextmanager
async def opened(machine: Machine, *others: BrokerBus, count: int = 3) -> AsyncIterator[None]:
    """The first processes of a machine, and other nodes, that know each other."""
    async with AsyncExitStack() as stack:
        buses = [*machine.buses[:count], *others]
        for bus in buses:
            await stack.enter_async_context(bus)
        await until(lambda: all(len(bus.up) == len(buses) - 1 for bus in buses))
        await asyncio.gather(*(bus.catch_up() for bus in buses))
        for listener in machine.listeners:
            while not listener.is_empty:
                listener.take()
        yield


def other_node(server: MemoryServer) -> BrokerBus:
    """A node of another machine."""
    return BrokerBus(MemoryBroker(server), prefix=PREFIX, heartbeat_s=BEAT_S)


async def test_one_of_all_has_the_connection(server: MemoryServer, folder: Path) -> None:
    """The first has it, however many there are."""
    machine = Machine(server, folder)
    async with opened(machine):
        assert machine.holders == [0]
        assert [broker.runs for broker in machine.brokers] == [1, 0, 0, 0]


@pytest.mark.parametrize("sender", [0, 1])
async def test_siblings_and_others_hear_each_cast_once_in_order(
    server: MemoryServer, folder: Path, sender: int
) -> None:
    """Also those of the holder. Replies come after the casts before them."""
    machine, other = Machine(server, folder), other_node(server)
    there = RecordingListener(other)
    async with opened(machine, other):
        while not there.is_empty:
            there.take()
        bus = machine.buses[sender]
        sent = [(bus.node, b"%d" % number) for number in range(200)]
        for _, body in sent:
            bus.cast(KIND, body)
        for number in {0, 1, 2} - {sender}:
            assert await machine.listeners[number].next_many(200) == sent
        assert await there.next_many(200) == sent

        other.cast(KIND, b"from elsewhere")

        for listener in machine.listeners[:3]:
            assert await listener.next() == (other.node, b"from elsewhere")
        await asyncio.sleep(2 * BEAT_S)
        assert all(listener.is_empty for listener in [*machine.listeners, there])
        assert all(bus.counts.gaps == 0 for bus in [*machine.buses, other])


async def test_the_broker_sees_no_call_between_siblings(server: MemoryServer, folder: Path) -> None:
    """Casts and Hellos go through it once, and calls of other machines reach each sibling."""
    machine, other = Machine(server, folder), other_node(server)
    kinds: Counter[object] = Counter()

    def is_lost(_subject: str, data: bytes) -> bool:
        kinds[kind_of(data)] += 1
        return False

    async def reply(_node: int, body: bytes) -> bytes:
        return body[::-1]

    answered: list[bytes] = []

    def name(text: bytes) -> CallHandler:
        async def handle(_node: int, _body: bytes) -> bytes:
            answered.append(text)
            return text

        return handle

    other.on_call("name", name(b"other"))
    for bus in machine.buses:
        bus.on_call("reverse", reply)
        bus.on_call("name", name(b"sibling"))
    async with opened(machine, other):
        server.loses = is_lost
        for caller in machine.buses[:3]:
            for called in machine.buses[:3]:
                if caller is not called:
                    answer = await caller.call(called.node, "reverse", b"abc", on_reply=bytes)
                    assert answer == b"cba"
        machine.buses[1].cast(KIND, b"")
        assert kinds[Call] == 0
        for called in machine.buses[:3]:
            assert await other.call(called.node, "reverse", b"xyz", on_reply=bytes) == b"zyx"
        for caller in machine.buses[:3]:
            assert await caller.call(other.node, "name", on_reply=bytes) == b"other"
        assert kinds[Call] == 6
        assert kinds[Cast] == 1
        assert answered == [b"other"] * 3


async def test_when_the_holder_ends_a_sibling_takes_over(
    server: MemoryServer, folder: Path
) -> None:
    """Both ends know that they may have missed something, and all goes on."""
    machine, other = Machine(server, folder), other_node(server)
    there = RecordingListener(other)
    async with opened(machine, other):
        await machine.buses[0].__aexit__()
        await until(lambda: len(machine.holders) == 1 and machine.buses[1].counts.connects == 2)
        await until(lambda: machine.buses[2].counts.connects == 2)
        await until(lambda: all(bus.counts.gaps for bus in machine.buses[1:3]))
        for bus in (machine.buses[1], machine.buses[2]):
            await bus.catch_up()
            bus.cast(KIND, b"again")
        heard = {event async for event in _until_heard(there, 2)}
        assert heard == {(bus.node, b"again") for bus in machine.buses[1:3]}
        assert len(machine.holders) == 1
        assert other.up == {bus.node for bus in machine.buses[1:3]}


async def _until_heard(listener: RecordingListener, count: int) -> AsyncIterator[tuple[int, bytes]]:
    """The next casts, and not the other events."""
    while count:
        event = await listener.next()
        if event[1] == b"again":
            count -= 1
            yield event


async def test_a_broker_that_is_away_is_tried_until_it_is_back(
    server: MemoryServer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All siblings say why, and hear each other again afterwards."""
    machine = Machine(server, folder)
    async with opened(machine):
        server.stop()
        await until(lambda: all(bus.is_deaf for bus in machine.buses[:3]))
        assert not machine.shared[1].publish(f"{PREFIX}.all", b"")
        server.is_up = True
        await until(lambda: not any(bus.is_deaf for bus in machine.buses[:3]), 10.0)
        await until(lambda: all(len(bus.up) == 2 for bus in machine.buses[:3]), 10.0)
        machine.buses[1].cast(KIND, b"again")
        async with asyncio.timeout(patient(5.0)):
            while await machine.listeners[2].next() != (machine.buses[1].node, b"again"):
                pass
    reasons = [record.getMessage() for record in caplog.records if "connecting" in record.message]
    assert reasons
    assert all("the server" in reason for reason in reasons), reasons


async def test_who_does_not_hear_its_hello_through_the_broker_is_deaf(
    server: MemoryServer, folder: Path
) -> None:
    """Although it hears its siblings all the time."""
    machine = Machine(server, folder)
    async with opened(machine):
        lost = machine.buses[1].node.to_bytes(6)
        server.loses = lambda _subject, data: kind_of(data) is Hello and data[2:8] == lost
        await until(lambda: machine.buses[1].is_deaf)
        assert not machine.buses[0].is_deaf
        server.loses = lambda _subject, _data: False
        await until(lambda: not machine.buses[1].is_deaf)


async def test_a_sibling_that_does_not_read_misses_casts_and_knows_it(
    server: MemoryServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into its queue is dropped and counted; the others get all."""
    machine = Machine(server, folder)
    async with opened(machine):
        send = Stream.send
        monkeypatch.setattr(
            Stream, "send", lambda self, data: b"lost" not in data and send(self, data)
        )
        machine.buses[0].cast(KIND, b"lost")
        machine.buses[0].cast(KIND, b"later")
        for listener in machine.listeners[1:3]:
            node = machine.buses[0].node
            assert await listener.next_many(2) == [("gap", node), (node, b"later")]
        assert machine.shared[0].counts.dropped == 2


async def test_a_full_queue_refuses(folder: Path) -> None:
    """A stream takes what fits, in order, and no more."""
    path = folder / "stream"
    got: list[bytes] = []
    there = Stream(lambda _stream, frame: got.append(pack(frame)), lambda _stream: None)
    loop = asyncio.get_running_loop()
    async with await loop.create_unix_server(lambda: there, str(path)):
        here = Stream(lambda *_: None, lambda _stream: None, max_queue_bytes=100)
        await loop.create_unix_connection(lambda: here, str(path))
        frames = [pack(Join("x" * size)) for size in (30, 40, 50)]
        assert [here.send(frame) for frame in frames] == [True, True, False]
        await until(lambda: got == frames[:2])
        here.close()
        there.close()
    assert not here.send(frames[0])


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x01\xff",
        b"\xff\xff\xff\xff",
        pack(Join("test.of-another")),
    ],
)
async def test_a_stream_with_invalid_frames_is_ended_and_counted(
    server: MemoryServer, folder: Path, data: bytes
) -> None:
    """It is not one of a sibling."""
    machine = Machine(server, folder)
    async with opened(machine, count=2):
        reader, writer = await asyncio.open_unix_connection(str(folder / "broker"))
        writer.write(data)
        async with asyncio.timeout(patient(5.0)):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()
        assert machine.shared[0].counts.broken == 1
        machine.buses[1].cast(KIND, b"on")
        assert await machine.listeners[0].next() == (machine.buses[1].node, b"on")


async def test_a_folder_without_a_socket_is_an_error_that_says_so(
    server: MemoryServer, folder: Path
) -> None:
    """A holder that never listens does not keep the others busy."""
    machine = Machine(server, folder)
    sibling = machine.shared[1]
    await asyncio.to_thread(sibling.load)
    lock = SiblingFolder(folder)
    await asyncio.to_thread(lock.open)
    assert lock.take_lock()
    subjects = [f"{PREFIX}.all", inbox_subject(PREFIX, machine.inboxes[1])]
    with pytest.raises(BrokerError, match="does not listen"):
        await sibling.run(subjects, lambda *_: None, lambda: None)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "broker"))
        with pytest.raises(BrokerError, match="does not listen"):
            await sibling.run(subjects, lambda *_: None, lambda: None)
