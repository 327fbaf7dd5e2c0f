"""The election of the process that has the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

from phoenix_compat.cluster.bus import Bus
from phoenix_compat.server.multiprocess.leader import ROLE, Leader
from phoenix_compat.tasks.model.errors import StoreInUseError
from tests.patience import patient
from tests.unit.cluster.harness import folder

__all__ = ["folder"]


async def test_a_process_stops_at_the_moment_when_the_leader_ends(folder: Path) -> None:
    """A stop that comes together with the news that the lead is free ends the attempts."""

    async def begin() -> None:
        raise StoreInUseError(Path("tasks"), "in use")

    async with Bus(folder, 0, 1) as bus:
        bus.take_role(ROLE)
        leader = Leader(bus, begin)
        leader.roles_changed(0)
        await leader.start()
        await asyncio.sleep(0.01)  # until it waits for its next attempt

        bus.drop_role(ROLE)
        async with asyncio.timeout(patient(5.0)):
            await leader.retire()
