"""A pooler such as PgBouncer between us and the server, which gives transactions other sessions."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from phoenix_compat.tasks.model.task import TaskStatus
from phoenix_compat.tasks.store.opening import open_shared_task_store
from phoenix_compat.tasks.store.postgres.connections import Connections
from phoenix_compat.tasks.store.postgres.database import PostgresDatabase
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store.stored_tasks import moved
from tests.integration.store_contract.engines import POSTGRES_SCHEMA as SCHEMA
from tests.integration.worker.worker_harness import task_params

_SSL_REQUEST = 80877103
_REFUSAL = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter\0\0"


def connections_of(store: TaskStore) -> Connections:
    assert isinstance(store.database, PostgresDatabase)
    return store.database._connections


class Pooler:
    """Refuses what PgBouncer refuses when a client connects, and passes all else on."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.refused = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one client."""
        length, kind = struct.unpack("!II", await reader.readexactly(8))
        if kind == _SSL_REQUEST:
            writer.write(b"N")
            length, kind = struct.unpack("!II", await reader.readexactly(8))
        start = await reader.readexactly(length - 8)
        if b"idle_in_transaction_session_timeout\0" in start or b"jit\0" in start:
            self.refused += 1
            writer.write(b"E" + struct.pack("!I", len(_REFUSAL) + 4) + _REFUSAL)
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        server_writer.write(struct.pack("!II", length, kind) + start)
        for source, target in ((reader, server_writer), (server_reader, writer)):
            task = asyncio.create_task(_copy(source, target))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
    except OSError:
        pass
    target.close()


@pytest.fixture
async def pooler(postgres_url: str) -> AsyncIterator[tuple[Pooler, str]]:
    """A pooler, and the URL of the test's database behind it."""
    port = urlsplit(postgres_url).port
    pooler = Pooler(int(port or 0))
    server = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    own_port = server.sockets[0].getsockname()[1]
    yield pooler, postgres_url.replace(f":{port}/", f":{own_port}/")
    server.close()
    await asyncio.gather(*pooler.tasks)


async def test_a_pooler_is_noticed_by_what_it_refuses(pooler: tuple[Pooler, str]) -> None:
    """Then nothing is prepared that the next transaction would have to find."""
    found, url = pooler
    async with await open_shared_task_store(url, SCHEMA) as store:
        task = await moved(store, await store.add(task_params()), TaskStatus.FAILED)
        assert await store.get(task.id) == task
        prepared = await store.database.read("SELECT name FROM pg_prepared_statements")
        connections = connections_of(store)
    assert found.refused == 1
    assert connections.is_pooled
    assert [row["name"] for row in prepared if row["name"]] == []


async def test_statements_that_get_lost_are_prepared_no_more(postgres_url: str) -> None:
    """A pooler that refuses nothing is noticed when another session lacks a statement."""
    async with await open_shared_task_store(postgres_url, SCHEMA) as store:
        task = await store.add(task_params())
        assert await store.get(task.id) == task
        await store.database.read("DEALLOCATE ALL")

        assert await store.get(task.id) == task
        await moved(store, task, TaskStatus.FAILED)

        assert connections_of(store).is_pooled


async def test_the_url_may_say_that_there_is_a_pooler(postgres_url: str) -> None:
    """The option is ours, and is not sent to the server; other parameters are."""
    url = f"{postgres_url}?statement_cache_size=0&application_name=named"
    async with await open_shared_task_store(url, SCHEMA) as store:
        prepared = await store.database.read("SELECT name FROM pg_prepared_statements")
        assert [row["name"] for row in prepared if row["name"]] == []
        assert connections_of(store).is_pooled
