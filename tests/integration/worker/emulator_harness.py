"""A worker harness whose provider is Replicate's SDK, talking to the emulator over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from phoenix_compat.tasks.model.clock import Clock
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.worker_harness import FAST, WorkerHarness, open_worker_harness
from tests.patience import patient


@asynccontextmanager
async def open_emulator_harness(
    path: Path,
    base_url: str,
    *,
    token: str,
    options: WorkerOptions = FAST,
    clock: Clock | None = None,
    read_timeout_s: float = 0.3,
) -> AsyncIterator[WorkerHarness]:
    """Open a worker harness whose provider sends its requests to `base_url`."""
    provider = ReplicateProvider(
        token=token,
        base_url=base_url,
        deadline_s=options.deadline_s,
        read_timeout_s=patient(read_timeout_s),
        total_timeout_s=patient(1.0),
    )
    try:
        async with open_worker_harness(path, provider, clock, options) as harness:
            yield harness
    finally:
        await provider.close()
