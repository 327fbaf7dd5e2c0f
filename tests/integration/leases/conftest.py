"""Fixtures for the tests of leases, on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.clock import SystemClock
from phoenix_compat.tasks.store.leases.lease_store import LeaseStore, Node
from phoenix_compat.tasks.store.opening import open_shared_task_store, open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store_contract.engines import POSTGRES_SCHEMA
from tests.integration.worker.worker_harness import SCHEMA
from tests.patience import patient

SHORT_S = 0.5
"""The length of leases in tests of the lease store."""


class TwoNodes:
    """Two nodes on one database.

    Attributes:
        store: adds and moves tasks.
        a, b: the leases of the nodes.
    """

    def __init__(self, store: TaskStore, other: TaskStore) -> None:
        self.store = store
        self.a = lease_store(store, "a")
        self.b = lease_store(other, "b")


def lease_store(store: TaskStore, name: str, lease_s: float = SHORT_S) -> LeaseStore:
    """The leases of one node."""
    return LeaseStore(store, Node(name, f"host:{name}", "1.0"), SystemClock(), lease_s=lease_s)


@pytest.fixture(params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest) -> str | None:
    """The URL of a PostgreSQL database; None for a file of SQLite."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def nodes(shared_url: str | None, tmp_path: Path) -> AsyncIterator[TwoNodes]:
    """Two nodes that have joined; on SQLite they are in one process."""
    if shared_url is None:
        async with await open_task_store(tmp_path / "tasks.db", SCHEMA) as store:
            both = TwoNodes(store, store)
            await both.a.join()
            await both.b.join()
            yield both
        return
    async with (
        await open_shared_task_store(shared_url, POSTGRES_SCHEMA, timeout_s=patient(10.0)) as store,
        await open_shared_task_store(shared_url, POSTGRES_SCHEMA, timeout_s=patient(10.0)) as other,
    ):
        both = TwoNodes(store, other)
        await both.a.join()
        await both.b.join()
        yield both
