"""Random sequences of faults and kills: no task is billed twice.

The provider here remembers its predictions, as a real one does; only the requests to it fail.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from phoenix_compat.tasks.model.errors import (
    ProviderThrottledError,
    ProviderUncertainError,
    ProviderUnreachableError,
)
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task, TaskStatus
from phoenix_compat.tasks.provider.provider import Candidates
from tests.integration.worker.fake_provider import PICTURE, FakeClock, WithoutStreams
from tests.integration.worker.worker_harness import WorkerHarness, open_worker_harness


class Fault(Enum):
    """What happens to one request."""

    NONE = auto()
    NEVER_SENT = auto()
    THROTTLED = auto()
    LOST_BEFORE = auto()
    LOST_AFTER = auto()
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()


class FaultyProvider(WithoutStreams):
    """Makes predictions and remembers them; each request meets the next fault of a list.

    Attributes:
        predictions: reference, fingerprint and time of each prediction, oldest first.
        polls: how many polls found a prediction that was not interrupted.
        killed: set when a fault kills the server.
    """

    def __init__(self, faults: Sequence[Fault], clock: FakeClock, interrupted: int = 0) -> None:
        self.predictions: list[tuple[PredictionRef, str, datetime]] = []
        self._clock = clock
        self.polls = 0
        self.killed = asyncio.Event()
        self._faults = list(faults)
        self._interrupted = [f"p-{number}" for number in range(interrupted)]

    async def submit(self, task: Task) -> PredictionRef:
        """Make a prediction, unless the fault comes before."""
        fault = await self._before()
        ref = PredictionRef(f"p-{len(self.predictions)}")
        self.predictions.append((ref, task.fingerprint, self._clock.now()))
        await self._after(fault)
        return ref

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """Return a picture at the third poll, unless this prediction is interrupted."""
        await self._after(await self._before())
        if ref.id in self._interrupted:
            return PredictionSnapshot(
                ref=ref, state=PredictionState.FAILED, raw_status="failed", error_text="(code: PA)"
            )
        self.polls += 1
        is_done = self.polls >= 3
        state = PredictionState.SUCCEEDED if is_done else PredictionState.ACTIVE
        return PredictionSnapshot(ref=ref, state=state, raw_status="processing", output=PICTURE)

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """Fail: these tests cancel nothing."""
        raise AssertionError(ref)

    async def find(self, since: datetime, task: Task) -> Candidates:
        """Return the predictions with the task's fingerprint since that time."""
        await self._after(await self._before())
        return Candidates(
            ours=[
                ref
                for ref, known, created_at in self.predictions
                if known == task.fingerprint and created_at >= since
            ]
        )

    async def close(self) -> None:
        """Nothing to close."""

    async def _before(self) -> Fault:
        fault = self._faults.pop(0) if self._faults else Fault.NONE
        match fault:
            case Fault.NEVER_SENT:
                raise ProviderUnreachableError("refused")
            case Fault.THROTTLED:
                raise ProviderThrottledError(3.0)
            case Fault.LOST_BEFORE:
                raise ProviderUncertainError("reset")
            case Fault.KILLED_BEFORE:
                await self._die()
            case Fault.NONE | Fault.LOST_AFTER | Fault.KILLED_AFTER:
                pass
        return fault

    async def _after(self, fault: Fault) -> None:
        if fault is Fault.LOST_AFTER:
            raise ProviderUncertainError("reset")
        if fault is Fault.KILLED_AFTER:
            await self._die()

    async def _die(self) -> None:
        self.killed.set()
        await asyncio.Event().wait()


async def run_once(
    path: Path, provider: FaultyProvider, clock: FakeClock, task: Task | None
) -> Task:
    """Run a worker until the task has ended or a fault kills it; None adds a task first."""
    async with open_worker_harness(path, provider, clock) as harness:
        task = task or await harness.add()
        ended = asyncio.create_task(harness.ended(task))
        killed = asyncio.create_task(provider.killed.wait())
        await asyncio.wait({ended, killed}, return_when=asyncio.FIRST_COMPLETED)
        kill(harness)
        for wait in (ended, killed):
            wait.cancel()
        await asyncio.gather(ended, killed, return_exceptions=True)
        provider.killed.clear()
        progress = [payload["progress"] for payload in harness.payloads(task)][:-1]
        assert progress == sorted(progress)
        return await harness.now(task)


def kill(harness: WorkerHarness) -> None:
    """Cancel all runs, even those whose create is on its way."""
    for _, execution in harness.worker.runs._active.values():
        execution.cancel()


async def run_to_the_end(
    faults: Sequence[Fault], interrupted: int = 0
) -> tuple[Task, FaultyProvider]:
    """Run one task until it has ended, with a new worker after each kill.

    Args:
        interrupted: how many predictions, from the first, the platform interrupts.
    """
    clock = FakeClock()
    provider = FaultyProvider(faults, clock, interrupted)
    with tempfile.TemporaryDirectory() as folder:
        task: Task | None = None
        while task is None or not task.status.is_terminal:
            task = await run_once(Path(folder, "tasks.db"), provider, clock, task)
    return task, provider


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(Fault), max_size=7))
def test_no_faults_and_kills_bill_a_task_twice(faults: list[Fault]) -> None:
    """At most one prediction is made, and if one is made, the task is completed with it."""
    task, provider = asyncio.run(run_to_the_end(faults))

    assert len(provider.predictions) <= 1
    if provider.predictions:
        assert task.status is TaskStatus.COMPLETED
        assert task.prediction_id == provider.predictions[0][0].id
    else:
        assert task.error_data is not None
        assert task.error_data["code"] in {"unknown_outcome", "provider_unavailable"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(Fault), max_size=9), st.integers(1, 4))
def test_each_further_prediction_is_a_counted_repeat(faults: list[Fault], interrupted: int) -> None:
    """If the platform interrupts predictions, only the repeats in `retries` are billed again."""
    task, provider = asyncio.run(run_to_the_end(faults, interrupted))

    assert len(provider.predictions) <= 1 + task.retries
    assert task.retries <= min(interrupted, 2)
    if len(provider.predictions) > interrupted:
        assert task.status is TaskStatus.COMPLETED
