"""Fixtures of the tests of the workshop and of the API above it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.api.api_harness import Client, open_shop_window
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import Workshop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store can be made; nothing is there yet."""
    return tmp_path / "tasks.db"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that jumps to whatever is waited for."""
    return FakeClock()


@pytest.fixture
async def shop(path: Path) -> AsyncIterator[tuple[Client, Workshop]]:
    """The API and the workshop behind it, whose worker is not started yet."""
    async with open_shop_window(path) as opened:
        yield opened


@pytest.fixture
def client(shop: tuple[Client, Workshop]) -> Client:
    """A client of the API."""
    return shop[0]


@pytest.fixture
def workshop(shop: tuple[Client, Workshop]) -> Workshop:
    """The workshop behind the API."""
    return shop[1]
