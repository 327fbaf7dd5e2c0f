"""A low limit on creates, kept against the emulator over real HTTP, with both clocks hurried.

python -m tests.integration.worker.test_worker_hurried        the whole of 500 tasks, two minutes
"""

# ruff: noqa: T201 - as a command it prints what it saw

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from phoenix_compat.emulator import Emulator, EmulatorSettings
from phoenix_compat.tasks.model.errors import ProviderThrottledError
from phoenix_compat.tasks.model.prediction import PredictionRef
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.provider.replicate import ReplicateProvider
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.worker_harness import open_workshop

HURRY = 40.0
"""So many seconds pass for the worker and the emulator in one of ours.

At more, an exchange over HTTP takes so long on their clocks that the worker lets orders overlap.
"""

PER_MINUTE = 6


class HurriedClock:
    """The machine's time, `HURRY` times as fast."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)
        self._began_s = time.monotonic()

    def now(self) -> datetime:
        """The wall time, which runs ahead."""
        return self._began + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds since it began."""
        return (time.monotonic() - self._began_s) * HURRY

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Wait for an event, for a fraction of the time."""
        try:
            async with asyncio.timeout(None if timeout_s is None else timeout_s / HURRY):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


class WatchedProvider(ReplicateProvider):
    """Notes when an order was throttled, and when the provider would take one again.

    Attributes:
        throttled: pairs of both, in seconds of the worker's clock.
    """

    def __init__(self, clock: HurriedClock, *, base_url: str) -> None:
        super().__init__(token="r8_test", base_url=base_url)
        self.throttled: list[tuple[float, float]] = []
        self._clock = clock

    async def submit(self, task: Task) -> PredictionRef:
        """Order, and note a 429."""
        try:
            return await super().submit(task)
        except ProviderThrottledError as error:
            now_s = self._clock.monotonic()
            self.throttled.append((now_s, now_s + error.retry_after_s))
            raise


async def run_hurried(
    folder: Path, tasks: int
) -> tuple[list[TaskStatus], bool, list[float], float]:
    """Run so many tasks under the limit.

    Returns:
        How each ended, whether they were ordered as they came, for each 429 after the first how
        long it came after the end of the wait that the one before had asked for, and how long all
        of it took; both in seconds of the hurried clock.
    """
    settings = EmulatorSettings(speed=50.0, creates_per_minute=PER_MINUTE, create_burst=1)
    clock = HurriedClock()
    async with Emulator(settings) as replicate:
        replicate.state.clock.scale(HURRY)
        provider = WatchedProvider(clock, base_url=replicate.base_url)
        options = WorkerOptions(concurrency=50, deadline_s=3_600.0)
        async with open_workshop(folder / "tasks.sqlite3", provider, clock, options) as workshop:
            posted = [await workshop.add(prompt=f"Monk {number}") for number in range(tasks)]
            async with asyncio.timeout(tasks * 60.0 / PER_MINUTE / HURRY * 3.0 + 20.0):
                ends = [await workshop.ended(task) for task in posted]
            ordered = [one.input["prompt"] for one in replicate.state.predictions]
        await provider.close()
    wanted = [f"Monk {number}" for number in range(tasks)]
    late_s = [later - free_at_s for (_, free_at_s), (later, _) in pairwise(provider.throttled)]
    return [end.status for end in ends], ordered == wanted, late_s, clock.monotonic()


async def test_a_low_limit_is_lived_with(tmp_path: Path) -> None:
    """Under 6 creates a minute all tasks end, in the order in which they came.

    How few 429s there are is asserted in test_worker_rate, in virtual time: here a machine that
    stalls for a moment stalls for half a minute of the hurried clocks.
    """
    statuses, is_in_order, _, _ = await run_hurried(tmp_path, 15)

    assert statuses == [TaskStatus.COMPLETED] * 15
    assert is_in_order


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        found, in_order, after_s, took_s = asyncio.run(run_hurried(Path(name), 500))
    completed = found.count(TaskStatus.COMPLETED)
    print(f"{completed} of 500 completed, in order: {in_order}, in {took_s / 60.0:.0f} minutes")
    early = sum(late_s < 0.0 for late_s in after_s)
    print(f"429s: {len(after_s) + 1}, within the wait that one asked for: {early}")
