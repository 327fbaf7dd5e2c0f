"""A low limit on creates, against the emulator over real HTTP, with both clocks sped up.

python -m tests.integration.worker.test_worker_hurried        all 500 tasks, in two minutes
"""

# ruff: noqa: T201 - as a command it prints its results

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
from phoenix_compat.tasks.provider.replicate.replicate import ReplicateProvider
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.worker_harness import open_worker_harness
from tests.patience import factor, patient

SPEEDUP = 40.0
"""How many seconds pass on the clocks of the worker and the emulator in one real second.

With a higher value an HTTP request would take so long on their clocks that creates overlap; on a
busy machine, where requests take longer, it is lower.
"""

PER_MINUTE = 6


class AcceleratedClock:
    """The system's time, `speedup` times as fast."""

    def __init__(self, speedup: float) -> None:
        self._speedup = speedup
        self._began = datetime.now(UTC)
        self._began_s = time.monotonic()

    def now(self) -> datetime:
        """The accelerated wall time."""
        return self._began + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Accelerated seconds since the clock was made."""
        return (time.monotonic() - self._began_s) * self._speedup

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Wait for an event, at most `timeout_s` accelerated seconds."""
        try:
            async with asyncio.timeout(None if timeout_s is None else timeout_s / self._speedup):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


class RecordingProvider(ReplicateProvider):
    """Records the 429 answers to creates.

    Attributes:
        throttled: for each 429, when it came and when its wait is over, in accelerated seconds.
    """

    def __init__(self, clock: AcceleratedClock, *, base_url: str) -> None:
        super().__init__(token="r8_test", base_url=base_url)
        self.throttled: list[tuple[float, float]] = []
        self._clock = clock

    async def submit(self, task: Task) -> PredictionRef:
        """Send the create, and record a 429."""
        try:
            return await super().submit(task)
        except ProviderThrottledError as error:
            now_s = self._clock.monotonic()
            self.throttled.append((now_s, now_s + error.retry_after_s))
            raise


async def run_accelerated(
    folder: Path, tasks: int
) -> tuple[list[TaskStatus], bool, list[float], float]:
    """Run this many tasks under the limit.

    Returns:
        The final status of each task; whether the predictions were created in the order of the
        tasks; for each 429 after the first, how long after the end of the previous one's wait it
        came (negative: during that wait); and how long all of it took. Both times are in
        accelerated seconds.
    """
    settings = EmulatorSettings(speed=50.0, creates_per_minute=PER_MINUTE, create_burst=1)
    speedup = SPEEDUP / factor()
    clock = AcceleratedClock(speedup)
    async with Emulator(settings) as replicate:
        replicate.state.clock.scale(speedup)
        provider = RecordingProvider(clock, base_url=replicate.base_url)
        options = WorkerOptions(concurrency=50, deadline_s=3_600.0)
        async with open_worker_harness(
            folder / "tasks.sqlite3", provider, clock, options
        ) as harness:
            added = [await harness.add(prompt=f"Monk {number}") for number in range(tasks)]
            async with asyncio.timeout(tasks * 60.0 / PER_MINUTE / speedup * 3.0 + patient(20.0)):
                ended = [await harness.ended(task) for task in added]
            created = [one.input["prompt"] for one in replicate.state.predictions]
        await provider.close()
    expected = [f"Monk {number}" for number in range(tasks)]
    after_wait_s = [
        later_s - wait_end_s for (_, wait_end_s), (later_s, _) in pairwise(provider.throttled)
    ]
    return [task.status for task in ended], created == expected, after_wait_s, clock.monotonic()


async def test_all_tasks_end_in_order_under_a_low_limit(tmp_path: Path) -> None:
    """Under 6 creates a minute all tasks are completed, and created in the order of the queue.

    The number of 429s is asserted in `worker_faults/test_rate`, in virtual time: on the
    accelerated clocks here a machine that stalls for a moment stalls for half a minute.
    """
    statuses, is_in_order, _, _ = await run_accelerated(tmp_path, 15)

    assert statuses == [TaskStatus.COMPLETED] * 15
    assert is_in_order


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        statuses, in_order, after_s, took_s = asyncio.run(run_accelerated(Path(name), 500))
    completed = statuses.count(TaskStatus.COMPLETED)
    print(f"{completed} of 500 completed, in order: {in_order}, in {took_s / 60.0:.0f} minutes")
    during_wait = sum(gap_s < 0.0 for gap_s in after_s)
    print(f"429s: {len(after_s) + 1}, during the wait that another one asked for: {during_wait}")
