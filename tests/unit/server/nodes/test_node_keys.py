"""API keys in equal nodes: each has them in memory, and learns of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat import Endpoint
from phoenix_compat.cluster import Bus, UnixBus
from phoenix_compat.protocol.message import Broadcast
from phoenix_compat.server.auth.keys.api_keys import new_key, sha256_of
from phoenix_compat.server.auth.keys.key_store import KeyStore
from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.nodes.node_keys import NodeKeys
from phoenix_compat.tasks.model.errors import StoreUnavailableError
from tests.integration.keys.key_harness import open_store
from tests.patience import patient
from tests.unit.cluster.harness import folder

__all__ = ["folder"]

READ = frozenset({Scope.READ})


class Node:
    """The keys of one node, and sockets of some of them."""

    def __init__(self, bus: Bus, store: Any, **times: float) -> None:
        self.keys = KeyStore(store, repeat_s=1_000.0)
        self.endpoint = Endpoint()
        self.lookup = NodeKeys(self.keys, self.endpoint, bus, secret="of the nodes", **times)
        self.closed: asyncio.Queue[str] = asyncio.Queue()

    def open_socket(self, name: str) -> None:
        """Open a socket with this key."""
        self.endpoint.subscribe(f"user:key:{name}", self._receive)

    def _receive(self, broadcast: Broadcast) -> None:
        assert broadcast.event == "disconnect"
        self.closed.put_nowait(broadcast.topic)

    async def until_closed(self) -> str:
        """The topic of the next socket that is closed."""
        async with asyncio.timeout(patient(5.0)):
            return await self.closed.get()


@asynccontextmanager
async def two_nodes(
    folder: Path, tmp_path: Path, **times: float
) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes on one database."""
    first, second = UnixBus(folder, 0, 2), UnixBus(folder, 1, 2)
    async with open_store(tmp_path) as store:
        nodes = Node(first, store, **times), Node(second, store, **times)
        async with first, second:
            await asyncio.gather(first.catch_up(), second.catch_up())
            for node in nodes:
                await node.keys.start()
                node.lookup.start()
            try:
                yield nodes
            finally:
                for node in nodes:
                    await node.lookup.stop()
                    await node.keys.stop()


async def heard(node: Node, count: int) -> None:
    """Wait until so many changes of other nodes were heard of."""
    async with asyncio.timeout(patient(5.0)):
        while node.lookup.counts.hints < count:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)


async def test_a_new_key_works_in_every_node(folder: Path, tmp_path: Path) -> None:
    """As soon as the hint has arrived."""
    async with two_nodes(folder, tmp_path) as (first, second):
        key = await first.keys.create("phone", READ)
        await heard(second, 1)

        found = await second.lookup.find(key)

        assert found is not None
        assert found.name == "phone"


async def test_a_revoked_key_ends_in_every_node(folder: Path, tmp_path: Path) -> None:
    """It is not found any more, and its sockets are closed; those of others stay."""
    async with two_nodes(folder, tmp_path) as (first, second):
        key = await first.keys.create("phone", READ)
        await first.keys.create("tv", READ)
        await heard(second, 2)
        for node in (first, second):
            node.open_socket("phone")
            node.open_socket("tv")

        await first.keys.revoke("phone")
        await heard(second, 3)

        assert await second.lookup.find(key) is None
        for node in (first, second):
            assert await node.until_closed() == "user:key:phone"
            assert node.closed.empty()


async def test_a_lost_hint_is_made_up_for(folder: Path, tmp_path: Path) -> None:
    """A gap has the keys read again, and so does time."""
    async with two_nodes(folder, tmp_path) as (first, second):
        key = await first.keys.create("phone", READ)
        await heard(second, 1)
        assert await second.lookup.find(key)
        second.open_socket("phone")
        first.keys.when_changed(lambda _name: None)  # the hint is lost
        await first.keys.revoke("phone")

        second.lookup.gap(0)

        assert await second.until_closed() == "user:key:phone"
        assert await second.lookup.find(key) is None


async def test_a_lent_key_works_in_every_node(folder: Path, tmp_path: Path) -> None:
    """Only a node of this server can lend one: what is on the bus may be forged."""
    async with two_nodes(folder, tmp_path) as (first, second):
        lent, forged = first.keys.lent.lend(), new_key()

        await first.lookup.share_lent(sha256_of(lent))
        first.lookup._secret = b"another"
        await first.lookup.share_lent(sha256_of(forged))

        assert await second.lookup.find(lent)
        assert await second.lookup.find(forged) is None


async def test_keys_are_read_from_time_to_time(folder: Path, tmp_path: Path) -> None:
    """A node that hears nothing learns of a revocation as well."""
    async with two_nodes(folder, tmp_path, read_s=0.02) as (first, second):
        await first.keys.create("phone", READ)
        await heard(second, 1)
        second.open_socket("phone")
        first.keys.when_changed(lambda _name: None)

        await first.keys.revoke("phone")

        assert await second.until_closed() == "user:key:phone"


async def test_sockets_of_a_key_that_was_replaced_are_closed(folder: Path, tmp_path: Path) -> None:
    """The new key has the same name, and was not what opened them."""
    async with two_nodes(folder, tmp_path) as (first, second):
        await first.keys.create("phone", READ)
        await heard(second, 1)
        assert await second.lookup.find(await second.keys.create("other", READ))
        second.open_socket("phone")
        first.keys.when_changed(lambda _name: None)
        await first.keys.revoke("phone")
        new = await first.keys.create("phone", READ)

        second.lookup.gap(0)

        assert await second.until_closed() == "user:key:phone"
        assert await second.lookup.find(new)


async def test_without_the_store_nothing_is_decided_after_a_hint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key may be the one that was revoked. What was read before counts until a hint."""
    async with two_nodes(folder, tmp_path, wait_s=0.05) as (first, second):
        key = await first.keys.create("phone", READ)
        await heard(second, 1)

        async def away() -> frozenset[str]:
            raise StoreUnavailableError("away")

        assert await second.lookup.find(key)
        monkeypatch.setattr(second.keys, "read_again", away)
        second.lookup.gap(0)
        assert await second.lookup.find(key)
        await first.keys.revoke("phone")
        await heard(second, 2)

        with pytest.raises(StoreUnavailableError):
            await second.lookup.find(key)
        assert await second.lookup.find("no key") is None
        monkeypatch.undo()
        second.lookup._wait_s = patient(5.0)
        assert await second.lookup.find(key) is None
