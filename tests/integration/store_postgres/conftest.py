"""Fixtures for the tests of the store on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from phoenix_compat.tasks.store.postgres.database import PostgresDatabase
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store_contract.engines import POSTGRES_SCHEMA as SCHEMA
from tests.integration.worker.fake_provider import FakeClock
from tests.patience import patient

OpenNode = Callable[[], Awaitable[TaskStore]]


@pytest.fixture
async def open_node(postgres_url: str) -> AsyncIterator[OpenNode]:
    """Open stores on the same database, as several servers do; all have one clock."""
    clock = FakeClock()
    async with AsyncExitStack() as opened:

        async def open_one() -> TaskStore:
            database = await PostgresDatabase.open(postgres_url, SCHEMA, timeout_s=patient(10.0))
            return await opened.enter_async_context(TaskStore(database, clock))

        yield open_one


@pytest.fixture
async def store(open_node: OpenNode) -> TaskStore:
    """One open store."""
    return await open_node()


@pytest.fixture
async def sql(postgres_url: str) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Run statements on the test's database, past the store; returns the rows."""
    connection = await asyncpg.connect(postgres_url)
    yield connection.fetch
    await connection.close()
