"""Many tasks under the provider's limit on creates: all end, in order, without a storm of 429."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import ProviderThrottledError, RateReducedError
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task, TaskId, TaskStatus
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.worker.options import WorkerOptions
from phoenix_compat.tasks.worker.token_bucket import TokenBucket
from tests.integration.worker.fake_provider import PICTURE, FakeClock, FakeProvider, ref, succeeded
from tests.integration.worker.worker_harness import open_workshop

TASKS = 500
NOBODY = TaskId("nobody")


class QuietClock(FakeClock):
    """Time passes only when the store has written what it was given.

    Writing takes a moment; a clock that jumps ten seconds meanwhile would let orders overtake.
    """

    store: TaskStore | None = None

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Let a create and the writes around it come to an end, then jump."""
        for _ in range(4):
            if self.store is not None and (timeout_s or 0.0) >= 1.0 and not event.is_set():
                await self.store.record_progress(NOBODY, 0.5)
        return await super().wait(event, timeout_s)


class LimitedProvider:
    """Makes a picture at once, for so many orders a minute; it counts what it refuses."""

    def __init__(self, clock: FakeClock, *, per_minute: int, burst: int, is_frank: bool) -> None:
        self.ordered: list[int] = []
        self.refused_at_s: list[float] = []
        self._clock = clock
        self._per_minute = per_minute
        self._burst = burst
        self._is_frank = is_frank
        self._bucket = TokenBucket(per_minute / 60.0, float(burst), clock.monotonic)

    async def submit(self, task: Task) -> PredictionRef:
        """Take the order, or say how long to wait, and perhaps why."""
        wait_s = self._bucket.wait_s()
        if wait_s > 0:
            self.refused_at_s.append(self._clock.elapsed_s)
            if not self._is_frank:
                raise ProviderThrottledError(wait_s)
            raise RateReducedError(wait_s, per_minute=self._per_minute, burst=self._burst)
        self._bucket.take()
        self.ordered.append(task.number)
        return PredictionRef(f"p-{task.number}")

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """It is there already."""
        return PredictionSnapshot(
            ref=ref, state=PredictionState.SUCCEEDED, raw_status="succeeded", output=PICTURE
        )

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """Never asked for here."""
        raise AssertionError(ref)

    async def find(self, since: datetime, fingerprint: str) -> Sequence[PredictionRef]:
        """Never asked for here: nothing is lost."""
        raise AssertionError(fingerprint)

    async def close(self) -> None:
        """Nothing to close."""


async def drive(path: Path, provider: LimitedProvider, clock: QuietClock, tasks: int) -> None:
    """Order so many pictures at once and wait for all of them."""
    async with open_workshop(path, provider, clock, is_started=False) as workshop:
        added = [await workshop.add() for _ in range(tasks)]
        clock.store = workshop.store
        await workshop.worker.start()
        for task in added:
            assert (await workshop.ended(task)).status is TaskStatus.COMPLETED


@pytest.fixture
def clock() -> QuietClock:
    return QuietClock()


async def test_500_tasks_under_six_a_minute(path: Path, clock: QuietClock) -> None:
    """All end, in the order of their arrival, with at most one 429 in any minute."""
    provider = LimitedProvider(clock, per_minute=6, burst=1, is_frank=True)

    await drive(path, provider, clock, TASKS)

    assert provider.ordered == list(range(1, TASKS + 1))
    gaps_s = [
        later - earlier
        for earlier, later in zip(provider.refused_at_s, provider.refused_at_s[1:], strict=False)
    ]
    assert all(gap_s >= 60.0 for gap_s in gaps_s), gaps_s
    assert len(provider.refused_at_s) <= 12
    # The pace is nearly that of the limit: patience is not idleness.
    assert 4_990.0 <= clock.elapsed_s <= 5_800.0


async def test_a_limit_that_is_not_named_is_found(path: Path, clock: QuietClock) -> None:
    """A 429 that only says how long to wait makes the pace fall until it is allowed."""
    provider = LimitedProvider(clock, per_minute=60, burst=1, is_frank=False)

    await drive(path, provider, clock, 60)

    assert provider.ordered == list(range(1, 61))
    assert len(provider.refused_at_s) <= 12


async def test_without_a_limit_orders_go_at_the_usual_pace(path: Path, clock: QuietClock) -> None:
    """Sixty orders take about five seconds: ten at once, then ten a second."""
    provider = LimitedProvider(clock, per_minute=6_000, burst=100, is_frank=True)

    await drive(path, provider, clock, 60)

    assert provider.refused_at_s == []
    assert provider.ordered == list(range(1, 61))
    assert clock.elapsed_s < 60.0


async def test_all_looks_share_a_budget(path: Path, clock: QuietClock) -> None:
    """A hundred predictions are looked at thirty times a second at most."""
    provider = FakeProvider(submit=[ref(f"p-{n}") for n in range(100)], fetch=[succeeded()])
    options = WorkerOptions(concurrency=100, polls_per_s=2.0, creates_per_s=1e6, create_burst=1e6)
    async with open_workshop(path, provider, clock, options, is_started=False) as workshop:
        added = [await workshop.add() for _ in range(20)]
        await workshop.worker.start()

        for task in added:
            await workshop.ended(task)

        # Twenty looks at two a second, of which two are free.
        assert clock.elapsed_s >= 9.0
