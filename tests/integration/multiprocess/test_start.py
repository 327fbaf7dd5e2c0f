"""What one process of several waits for before it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import web

from phoenix_compat.cluster import UnixBus, WorkerProcess
from phoenix_compat.conformance.reference import open_reference_app
from phoenix_compat.server.main import open_app
from tests.integration.task_server import settings_for
from tests.patience import patient
from tests.unit.cluster.harness import folder

__all__ = ["folder"]

Opened: TypeAlias = AbstractAsyncContextManager[web.Application]


def reference(worker_process: WorkerProcess, _data: Path) -> Opened:
    """A process of the reference channel set."""
    return open_reference_app(worker_process)


def task_server(worker_process: WorkerProcess, data: Path) -> Opened:
    """A process of the task server."""
    return open_app(settings_for(data, show_watchers=True), worker_process=worker_process)


@pytest.mark.parametrize("open_process", [reference, task_server])
async def test_a_process_serves_once_it_has_caught_up_with_the_others(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_process: Callable[[WorkerProcess, Path], Opened],
) -> None:
    """Whoever lands at a process that was started anew misses nothing that others hold or say."""
    waits, may_serve, serves, may_end = (asyncio.Event() for _ in range(4))

    async def catch_up(_bus: UnixBus) -> bool:
        waits.set()
        return await may_serve.wait()

    async def serve() -> None:
        worker_process = WorkerProcess(
            node=1, size=2, folder=str(folder), port=0, secret_key_base="x" * 64
        )
        async with open_process(worker_process, tmp_path):
            serves.set()
            await may_end.wait()

    monkeypatch.setattr(UnixBus, "catch_up", catch_up)
    async with asyncio.timeout(patient(20.0)), asyncio.TaskGroup() as group:
        group.create_task(serve())
        either = [group.create_task(event.wait()) for event in (waits, serves)]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        has_waited = not serves.is_set()

        may_serve.set()

        await serves.wait()
        may_end.set()
        waits.set()
    assert has_waited
