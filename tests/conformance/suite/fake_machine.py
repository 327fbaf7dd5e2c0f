"""A machine whose event loop wakes up as late as a test says."""

from __future__ import annotations

import asyncio

from phoenix_compat.conformance.suite.machine import LoopLateness


class FakeMachine:
    """A clock that sleeps move, by as much as the machine is late, with work of its own."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.worked_s = 0.0
        self.late_s = 0.0
        self.work_s = 0.0
        self.lateness = LoopLateness(lambda: self.now_s, lambda: self.worked_s, self.sleep)

    async def sleep(self, duration_s: float) -> None:
        """Return at once; the clock says that it took long."""
        await asyncio.sleep(0)
        self.now_s += duration_s + self.late_s + self.work_s
        self.worked_s += self.work_s

    async def samples(self, number: int) -> None:
        """Wake up as often."""
        for _wake_up in range(number):
            await self.lateness.sample()
