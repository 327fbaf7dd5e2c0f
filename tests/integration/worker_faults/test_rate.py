"""Many tasks under the provider's limit on creates: all are completed in order, with few 429s."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from phoenix_compat.tasks.model.errors import ProviderThrottledError, RateReducedError
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.provider.provider import Candidates
from phoenix_compat.tasks.store.task_store import TaskStore
from phoenix_compat.tasks.token_bucket import TokenBucket
from phoenix_compat.tasks.worker.options import WorkerOptions
from tests.integration.worker.fake_provider import (
    PICTURE,
    FakeClock,
    FakeProvider,
    WithoutStreams,
    ref,
    succeeded,
)
from tests.integration.worker.worker_harness import open_worker_harness
from tests.unit.tasks.sample_tasks import make_task

TASKS = 500
NO_SUCH_TASK = make_task()


class WriteWaitingClock(FakeClock):
    """A fake clock that jumps only after the store has finished its writes.

    Otherwise it could jump ten seconds during a write, and creates would overtake each other.
    """

    store: TaskStore | None = None

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Let a create and the writes around it finish, then jump."""
        for _ in range(4):
            if self.store is not None and (timeout_s or 0.0) >= 1.0 and not event.is_set():
                await self.store.record_progress(NO_SUCH_TASK, 0.5)
        return await super().wait(event, timeout_s)


class LimitedProvider(WithoutStreams):
    """Makes pictures at once, but accepts only `per_minute` creates and answers others with 429.

    Attributes:
        created: the numbers of the tasks whose creates it accepted, in order.
        refused_at_s: when it answered with a 429.
    """

    def __init__(self, clock: FakeClock, *, per_minute: int, burst: int, names_limit: bool) -> None:
        self.created: list[int] = []
        self.refused_at_s: list[float] = []
        self._clock = clock
        self._per_minute = per_minute
        self._burst = burst
        self._names_limit = names_limit
        self._bucket = TokenBucket(per_minute / 60.0, float(burst), clock.monotonic)

    async def submit(self, task: Task) -> PredictionRef:
        """Accept the create, or say how long to wait, and perhaps the limit."""
        wait_s = self._bucket.wait_s()
        if wait_s > 0:
            self.refused_at_s.append(self._clock.elapsed_s)
            if not self._names_limit:
                raise ProviderThrottledError(wait_s)
            raise RateReducedError(wait_s, per_minute=self._per_minute, burst=self._burst)
        self._bucket.take()
        self.created.append(task.number)
        return PredictionRef(f"p-{task.number}")

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """Return a picture."""
        return PredictionSnapshot(
            ref=ref, state=PredictionState.SUCCEEDED, raw_status="succeeded", output=PICTURE
        )

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """Fail: these tests cancel nothing."""
        raise AssertionError(ref)

    async def find(self, since: datetime, task: Task) -> Candidates:
        """Fail: no answer is lost in these tests."""
        raise AssertionError(task)

    async def close(self) -> None:
        """Nothing to close."""


async def run_tasks(
    path: Path, provider: LimitedProvider, clock: WriteWaitingClock, tasks: int
) -> None:
    """Add this many tasks, start the worker, and wait until all are completed."""
    async with open_worker_harness(path, provider, clock, is_started=False) as harness:
        added = [await harness.add() for _ in range(tasks)]
        clock.store = harness.store
        await harness.worker.start()
        for task in added:
            assert (await harness.ended(task)).status is TaskStatus.COMPLETED


@pytest.fixture
def clock() -> WriteWaitingClock:
    return WriteWaitingClock()


async def test_500_tasks_under_six_a_minute(path: Path, clock: WriteWaitingClock) -> None:
    """All are created in the order of the queue, with at most one 429 in any minute."""
    provider = LimitedProvider(clock, per_minute=6, burst=1, names_limit=True)

    await run_tasks(path, provider, clock, TASKS)

    assert provider.created == list(range(1, TASKS + 1))
    gaps_s = [
        later - earlier
        for earlier, later in zip(provider.refused_at_s, provider.refused_at_s[1:], strict=False)
    ]
    assert all(gap_s >= 60.0 for gap_s in gaps_s), gaps_s
    assert len(provider.refused_at_s) <= 12
    # The rate is nearly that of the limit.
    assert 4_990.0 <= clock.elapsed_s <= 5_800.0


async def test_a_limit_that_is_not_named_is_found(path: Path, clock: WriteWaitingClock) -> None:
    """429s that only say how long to wait lower the rate until it is within the limit."""
    provider = LimitedProvider(clock, per_minute=60, burst=1, names_limit=False)

    await run_tasks(path, provider, clock, 60)

    assert provider.created == list(range(1, 61))
    assert len(provider.refused_at_s) <= 12


async def test_without_a_limit_creates_are_sent_at_the_usual_rate(
    path: Path, clock: WriteWaitingClock
) -> None:
    """Sixty creates take less than a minute, and none is refused."""
    provider = LimitedProvider(clock, per_minute=6_000, burst=100, names_limit=True)

    await run_tasks(path, provider, clock, 60)

    assert provider.refused_at_s == []
    assert provider.created == list(range(1, 61))
    assert clock.elapsed_s < 60.0


async def test_all_polls_share_one_rate_limit(path: Path, clock: WriteWaitingClock) -> None:
    """The predictions of all tasks together are polled at most `polls_per_s` times a second."""
    provider = FakeProvider(submit=[ref(f"p-{n}") for n in range(100)], fetch=[succeeded()])
    options = WorkerOptions(concurrency=100, polls_per_s=2.0, creates_per_s=1e6, create_burst=1e6)
    async with open_worker_harness(path, provider, clock, options, is_started=False) as harness:
        added = [await harness.add() for _ in range(20)]
        await harness.worker.start()

        for task in added:
            await harness.ended(task)

        # Twenty polls at two a second, of which two may be sent at once.
        assert clock.elapsed_s >= 9.0
