"""Any sequence of faults and kills: one task, one prediction, one end.

The provider here remembers what it made, as a real one does; what fails is the way to it.
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
from tests.integration.worker.fake_provider import PICTURE, FakeClock
from tests.integration.worker.worker_harness import Workshop, open_workshop


class Fault(Enum):
    """What happens to one request."""

    NONE = auto()
    NEVER_SENT = auto()
    THROTTLED = auto()
    LOST_BEFORE = auto()
    LOST_AFTER = auto()
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()


class HonestProvider:
    """Makes predictions and remembers them; each request meets the next fault of a list."""

    def __init__(self, faults: Sequence[Fault], clock: FakeClock, interrupted: int = 0) -> None:
        self.made: list[tuple[PredictionRef, str, datetime]] = []
        self._clock = clock
        self.looks = 0
        self.killed = asyncio.Event()
        self._faults = list(faults)
        self._interrupted = [f"p-{number}" for number in range(interrupted)]

    async def submit(self, task: Task) -> PredictionRef:
        """Make a prediction, unless the fault strikes before."""
        fault = await self._before()
        ref = PredictionRef(f"p-{len(self.made)}")
        self.made.append((ref, task.fingerprint, self._clock.now()))
        await self._after(fault)
        return ref

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """A picture at the third look, unless the platform interrupts this prediction."""
        await self._after(await self._before())
        if ref.id in self._interrupted:
            return PredictionSnapshot(
                ref=ref, state=PredictionState.FAILED, raw_status="failed", error_text="(code: PA)"
            )
        self.looks += 1
        is_done = self.looks >= 3
        state = PredictionState.SUCCEEDED if is_done else PredictionState.ACTIVE
        return PredictionSnapshot(ref=ref, state=state, raw_status="processing", output=PICTURE)

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """Never asked for here."""
        raise AssertionError(ref)

    async def find(self, since: datetime, fingerprint: str) -> Sequence[PredictionRef]:
        """All that was made since then with this fingerprint."""
        await self._after(await self._before())
        return [ref for ref, made, at in self.made if made == fingerprint and at >= since]

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


async def live(path: Path, provider: HonestProvider, clock: FakeClock, task: Task | None) -> Task:
    """One life of a server: until the task has ended, or it is killed."""
    async with open_workshop(path, provider, clock) as workshop:
        task = task or await workshop.add()
        ended = asyncio.create_task(workshop.ended(task))
        killed = asyncio.create_task(provider.killed.wait())
        await asyncio.wait({ended, killed}, return_when=asyncio.FIRST_COMPLETED)
        kill(workshop)
        for wait in (ended, killed):
            wait.cancel()
        await asyncio.gather(ended, killed, return_exceptions=True)
        provider.killed.clear()
        progress = [payload["progress"] for payload in workshop.payloads(task)][:-1]
        assert progress == sorted(progress)
        return await workshop.now(task)


def kill(workshop: Workshop) -> None:
    """End all runs where they stand, even those that place an order."""
    for _, run in workshop.worker._runs.values():
        run.cancel()


async def lives(faults: Sequence[Fault], interrupted: int = 0) -> tuple[Task, HonestProvider]:
    clock = FakeClock()
    provider = HonestProvider(faults, clock, interrupted)
    with tempfile.TemporaryDirectory() as folder:
        task: Task | None = None
        while task is None or not task.status.is_terminal:
            task = await live(Path(folder, "tasks.db"), provider, clock, task)
    return task, provider


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(Fault), max_size=7))
def test_no_faults_and_kills_bill_a_picture_twice(faults: list[Fault]) -> None:
    """Whatever happens on the way, at most one prediction is made, and if one is, it is kept."""
    task, provider = asyncio.run(lives(faults))

    assert len(provider.made) <= 1
    if provider.made:
        assert task.status is TaskStatus.COMPLETED
        assert task.prediction_id == provider.made[0][0].id
    else:
        assert task.error_data is not None
        assert task.error_data["code"] in {"unknown_outcome", "provider_unavailable"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(Fault), max_size=9), st.integers(1, 4))
def test_repeats_are_all_that_is_billed_beyond_one(faults: list[Fault], interrupted: int) -> None:
    """With predictions that the platform interrupts, each further one is a declared repeat."""
    task, provider = asyncio.run(lives(faults, interrupted))

    assert len(provider.made) <= 1 + task.retries
    assert task.retries <= min(interrupted, 2)
    if len(provider.made) > interrupted:
        assert task.status is TaskStatus.COMPLETED
