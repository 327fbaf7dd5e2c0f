"""Runs every test of this folder on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.store_contract.engines import Engine, postgres_engine, sqlite_engine
from tests.integration.worker.fake_provider import FakeClock


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """An engine with a new database."""
    if request.param == "sqlite":
        return sqlite_engine(tmp_path)
    return postgres_engine(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[TaskStore]:
    """An open store with a fake clock."""
    async with await engine.open_store(FakeClock()) as opened:
        yield opened
