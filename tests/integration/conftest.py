"""Fixtures for the tests of the worker and of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api.api_harness import Client, open_api
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import WorkerHarness


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a database that does not exist yet."""
    return tmp_path / "tasks.db"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that jumps to the time that is waited for."""
    return FakeClock()


@pytest.fixture
async def api(path: Path) -> AsyncIterator[tuple[Client, WorkerHarness]]:
    """A client of the API and the harness behind it, whose worker is not started."""
    async with open_api(path) as opened:
        yield opened


@pytest.fixture
def client(api: tuple[Client, WorkerHarness]) -> Client:
    """A client of the API."""
    return api[0]


@pytest.fixture
def harness(api: tuple[Client, WorkerHarness]) -> WorkerHarness:
    """The store and the worker behind the API."""
    return api[1]
