"""Fixtures for the tests of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from phoenix_compat.tasks.store.opening import open_task_store
from phoenix_compat.tasks.store.task_store import TaskStore
from tests.integration.worker.fake_provider import FakeClock
from tests.integration.worker.worker_harness import SCHEMA


@pytest.fixture
async def store(path: Path) -> AsyncIterator[TaskStore]:
    """An open store with a fake clock and a short timeout for locks."""
    async with await open_task_store(
        path, SCHEMA, clock=FakeClock(), busy_timeout_s=0.05
    ) as opened:
        yield opened
