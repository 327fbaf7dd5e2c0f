"""The election of the process that has the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from phoenix_compat.cluster.unix import UnixBus
from phoenix_compat.server.multiprocess import leader as leader_module
from phoenix_compat.server.multiprocess.leader import ROLE, Leader
from phoenix_compat.tasks.model.errors import StoreInUseError
from tests.patience import patient
from tests.unit.cluster.harness import folder

__all__ = ["folder"]


async def test_a_process_stops_at_the_moment_when_the_leader_ends(folder: Path) -> None:
    """A stop that comes together with the news that the lead is free ends the attempts."""

    async def begin() -> None:
        raise StoreInUseError(Path("tasks"), "in use")

    async with UnixBus(folder, 0, 1) as bus:
        bus.take_role(ROLE)
        leader = Leader(bus, begin)
        leader.roles_changed(0)
        await leader.start()
        await asyncio.sleep(0.01)  # until it waits for its next attempt

        bus.drop_role(ROLE)
        async with asyncio.timeout(patient(5.0)):
            await leader.retire()


async def test_the_reason_for_a_long_wait_is_logged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E6: while the database belongs to a process that is not on the bus, the log says so, once."""
    monkeypatch.setattr(leader_module, "_RETRY_S", 0.001)
    attempts = 0
    enough = asyncio.Event()

    async def begin() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 30:
            enough.set()
        raise StoreInUseError(Path("tasks"), "another process is using it")

    with capture_logs() as logs:
        async with UnixBus(folder, 0, 1) as bus:
            leader = Leader(bus, begin)
            starting = asyncio.create_task(leader.start())
            async with asyncio.timeout(patient(10.0)):
                await enough.wait()
            starting.cancel()
            await leader.retire()

    assert [one["event"] for one in logs] == ["leader.waiting"]
    assert "another process is using it" in logs[0]["reason"]
