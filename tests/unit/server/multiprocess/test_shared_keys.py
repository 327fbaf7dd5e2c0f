"""API keys in a process that is not the leader: asked for, remembered, and forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat import Endpoint
from phoenix_compat.cluster.bus import Bus
from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.server.auth.keys import remembered_keys
from phoenix_compat.server.auth.keys.api_keys import ApiKey, new_key
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.multiprocess import shared_keys
from phoenix_compat.server.multiprocess.leader import Leader
from phoenix_compat.server.multiprocess.shared_keys import SharedKeys
from phoenix_compat.tasks.model.errors import StoreInUseError, StoreUnavailableError
from tests.integration.keys.key_harness import open_keys
from tests.patience import patient
from tests.unit.cluster.harness import folder

__all__ = ["folder"]

READ = frozenset({Scope.READ})


class Node:
    """The keys of one process, and a socket with one id in it."""

    def __init__(self, bus: Bus, keys: KeyStore) -> None:
        async def begin() -> None:
            if not keys.is_open:
                raise StoreInUseError(Path("tasks"), "in use")

        self.bus = bus
        self.endpoint = Endpoint()
        self.shared = SharedKeys(keys, self.endpoint, bus)
        self.leader = Leader(bus, begin)
        self.shared.begin(self.leader)
        self._closed: asyncio.Queue[str] = asyncio.Queue()

    def open_socket(self, name: str) -> None:
        """Open a socket with this key."""
        self.endpoint.subscribe(f"user:key:{name}", self._receive)

    def _receive(self, broadcast: Broadcast) -> None:
        assert broadcast.event == "disconnect"
        self._closed.put_nowait(broadcast.topic)

    async def closed(self) -> str:
        """The id of the next socket that is closed."""
        async with asyncio.timeout(patient(5.0)):
            return await self._closed.get()

    @property
    def also_closed(self) -> set[str]:
        """The ids of the sockets that were closed since, each once; closing one again is allowed,
        because what may have been missed is checked more than once."""
        return {self._closed.get_nowait() for _ in range(self._closed.qsize())}


@asynccontextmanager
async def two_nodes(
    folder: Path, keys: KeyStore, **options: int
) -> AsyncIterator[tuple[Node, Node]]:
    """The leader, which has the keys, and another process."""
    async with UnixBus(folder, 0, 2, **options) as first, UnixBus(folder, 1, 2) as second:
        none: Any = None  # the other process has no store
        leading, other = Node(first, keys), Node(second, KeyStore(none))
        await leading.leader.start()
        await other.leader.start()
        yield leading, other
        for node in (leading, other):
            await node.shared.stop()
            await node.leader.stop()


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[KeyStore]:
    """The keys of the leader."""
    async with open_keys(tmp_path) as opened:
        yield opened


async def test_a_key_is_found_in_both_processes(folder: Path, keys: KeyStore) -> None:
    """A revoked and an unknown one in neither."""
    valid, revoked = await keys.create("phone", READ), await keys.create("tv", READ)
    await keys.revoke("tv")

    async with two_nodes(folder, keys) as nodes:
        for node in nodes:
            assert await node.shared.find(valid) == ApiKey(name="phone", scopes=READ)
            for other in (revoked, new_key(), "no key"):
                assert await node.shared.find(other) is None


async def test_an_answer_is_remembered(folder: Path, keys: KeyStore) -> None:
    """Whether the key was found or not, the leader is asked once."""
    key = await keys.create("phone", READ)
    async with two_nodes(folder, keys) as (_, other):
        for text in (key, new_key()):
            answers = [await other.shared.find(text) for _ in range(5)]
            assert answers == answers[:1] * 5

        assert other.shared.counts.asked == 2


async def test_many_lookups_at_once_are_few_questions(folder: Path, keys: KeyStore) -> None:
    """5 000 clients with 100 keys that return at once need 100 answers, in few calls."""
    made = [await keys.create(f"key-{number}", READ) for number in range(100)]
    async with two_nodes(folder, keys) as (_, other):
        found = await asyncio.gather(*(other.shared.find(key) for key in made * 50))

        assert [key.name for key in found[:100] if key is not None] == [
            f"key-{number}" for number in range(100)
        ]
        assert other.shared.counts.asked <= 200


async def test_lookups_that_wait_are_limited(
    folder: Path, keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit they fail at once, and are counted."""
    monkeypatch.setattr(shared_keys, "MAX_WAITING", 10)
    async with two_nodes(folder, keys) as (_, other):
        results = await asyncio.gather(
            *(other.shared.find(new_key()) for _ in range(30)), return_exceptions=True
        )

        assert results.count(None) == 10
        assert sum(isinstance(result, StoreUnavailableError) for result in results) == 20
        assert other.shared.counts.refused == 20


async def test_a_revocation_is_known_in_both_processes(folder: Path, keys: KeyStore) -> None:
    """The sockets of the key are closed in both, and the remembered answer is forgotten."""
    key = await keys.create("phone", READ)
    async with two_nodes(folder, keys) as (leading, other):
        for node in (leading, other):
            assert await node.shared.find(key) is not None
            node.open_socket("phone")
            node.open_socket("tv")

        await keys.revoke("phone")

        for node in (leading, other):
            assert await node.closed() == "user:key:phone"
            assert await node.shared.find(key) is None
            assert node.also_closed <= {"user:key:phone"}


async def test_no_answer_outlives_a_revocation(folder: Path, keys: KeyStore) -> None:
    """However lookups and the revocation overlap: once the sockets are closed, no lookup finds the
    key."""
    async with two_nodes(folder, keys) as (_, other):
        other.open_socket("phone")
        for _ in range(20):
            key = await keys.create("phone", READ)
            lookups = [asyncio.create_task(other.shared.find(key)) for _ in range(3)]
            revoking = asyncio.create_task(keys.revoke("phone"))

            await other.closed()

            assert await other.shared.find(key) is None
            await asyncio.gather(*lookups, revoking)


async def test_the_leader_is_asked_again_after_a_while(
    folder: Path, keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that no message reaches notices a revocation all the same."""
    monkeypatch.setattr(
        remembered_keys.RememberedKeys.__init__,
        "__kwdefaults__",
        {"remember_s": 0.01, "max_remembered": 10},
    )
    key = await keys.create("phone", READ)
    async with two_nodes(folder, keys) as (leading, other):
        monkeypatch.setattr(leading.bus, "cast", lambda *_arguments: None)
        assert await other.shared.find(key) is not None
        await keys.revoke("phone")

        async with asyncio.timeout(patient(5.0)):
            while await other.shared.find(key) is not None:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.001)


async def test_sockets_are_checked_after_lost_messages(folder: Path, keys: KeyStore) -> None:
    """If the message about a revocation was lost, the socket is closed when that is noticed."""
    key = await keys.create("phone", READ)
    await keys.create("tv", READ)
    async with two_nodes(folder, keys, max_queue_bytes=1_000) as (leading, other):
        await other.shared.find(key)
        other.open_socket("phone")
        other.open_socket("tv")
        # The queue for the other process is full while this runs, so the revocation is dropped.
        leading.bus.cast("filler", b"x" * 900)
        leading.bus.cast("filler", b"x" * 900)
        await keys.revoke("phone")
        leading.bus.cast("filler", b"")

        assert await other.closed() == "user:key:phone"
        assert await other.shared.find(key) is None
        assert other.also_closed <= {"user:key:phone"}


async def test_sockets_are_checked_by_a_new_leader(tmp_path: Path, folder: Path) -> None:
    """A leader that was killed after it had stored a revocation has told nobody; the next leader
    closes the sockets, in both processes."""
    async with open_keys(tmp_path) as keys:
        key = await keys.create("phone", READ)
        await keys.create("tv", READ)
    first, second, third = (UnixBus(folder, node, 3) for node in range(3))
    async with first, second, third:
        none: Any = None
        others = [Node(bus, KeyStore(none)) for bus in (second, third)]
        async with open_keys(tmp_path) as keys:
            leading = Node(first, keys)
            for node in (leading, *others):
                await node.leader.start()
            for node in others:
                assert await node.shared.find(key) is not None
                node.open_socket("phone")
                node.open_socket("tv")
            first.cast = lambda *_arguments: None  # type: ignore[method-assign] # it is killed
            await keys.revoke("phone")
            await leading.leader.stop()

        async with open_keys(tmp_path) as keys:
            following = Node(first, keys)
            following.open_socket("phone")
            await following.leader.start()

            for node in (following, *others):
                assert await node.closed() == "user:key:phone"
                assert await node.shared.find(key) is None
                assert node.also_closed <= {"user:key:phone"}
            for node in (following, *others):
                await node.shared.stop()
                await node.leader.stop()


async def test_a_lookup_waits_for_the_next_leader(tmp_path: Path, folder: Path) -> None:
    """While there is none, the request waits; then it is answered."""
    async with open_keys(tmp_path) as keys:
        key = await keys.create("phone", READ)
    async with UnixBus(folder, 0, 2) as first, UnixBus(folder, 1, 2) as second:
        none: Any = None
        other = Node(second, KeyStore(none))
        starting = asyncio.create_task(other.leader.start())
        lookup = asyncio.create_task(other.shared.find(key))
        await asyncio.sleep(0.01)
        assert not lookup.done()

        async with open_keys(tmp_path) as keys:
            leading = Node(first, keys)
            await leading.leader.start()

            async with asyncio.timeout(patient(5.0)):
                assert await lookup == ApiKey(name="phone", scopes=READ)
            await starting
            for node in (leading, other):
                await node.shared.stop()
                await node.leader.stop()


async def test_a_lookup_without_a_leader_fails_in_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the deadline, as unavailable; and at once when the process stops."""
    monkeypatch.setattr(shared_keys, "FIND_TIMEOUT_S", 0.05)
    async with UnixBus(folder, 0, 2) as bus:
        none: Any = None
        node = Node(bus, KeyStore(none))

        with pytest.raises(StoreUnavailableError):
            await node.shared.find(new_key())

        monkeypatch.setattr(shared_keys, "FIND_TIMEOUT_S", 60.0)
        lookup = asyncio.create_task(node.shared.find(new_key()))
        await asyncio.sleep(0.01)
        await node.shared.stop()
        with pytest.raises(StoreUnavailableError, match="stopping"):
            await lookup
