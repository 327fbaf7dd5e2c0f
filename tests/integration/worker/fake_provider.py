"""A provider that answers what a test wrote down, and a clock that never makes anyone wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task

PICTURE = "https://replicate.delivery/xezq/out-0.jpg"
START = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)

Answer: TypeAlias = PredictionSnapshot | PredictionRef | Sequence[PredictionRef] | Exception


class FakeClock:
    """Time that passes only while someone waits, and then at once."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.has_jumped = asyncio.Event()

    def now(self) -> datetime:
        """Ten o'clock and what has been waited since."""
        return START + timedelta(seconds=self.elapsed_s)

    def monotonic(self) -> float:
        """What has been waited."""
        return self.elapsed_s

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Let the others go first, then jump to the end of the wait."""
        if timeout_s is None:
            await event.wait()
            return True
        due_s = self.elapsed_s + timeout_s
        for _ in range(5):
            await asyncio.sleep(0)
        if event.is_set():
            return True
        self.has_jumped.set()
        self.elapsed_s = max(self.elapsed_s, due_s)
        return event.is_set()


class FakeProvider:
    """Answers from lists, in order; the last answer of a list is repeated.

    A call whose list is empty fails the test. `held` names a call that does not return until
    `release` is called.
    """

    def __init__(self, **answers: Sequence[Answer]) -> None:
        self.answers = {name: list(given) for name, given in answers.items()}
        self.calls: list[str] = []
        self.held: str | None = None
        self.reached = asyncio.Event()
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let the held call return."""
        self.held = None
        self._released.set()

    def count(self, call: str) -> int:
        """How often a call was made."""
        return self.calls.count(call)

    async def submit(self, task: Task) -> PredictionRef:
        """See `Provider`."""
        answer = await self._answer("submit")
        assert isinstance(answer, PredictionRef)
        return answer

    async def fetch(self, ref: PredictionRef) -> PredictionSnapshot:
        """See `Provider`."""
        return self._snapshot(await self._answer("fetch"))

    async def cancel(self, ref: PredictionRef) -> PredictionSnapshot:
        """See `Provider`."""
        return self._snapshot(await self._answer("cancel"))

    async def find(self, since: datetime, fingerprint: str) -> Sequence[PredictionRef]:
        """See `Provider`."""
        answer = await self._answer("find")
        assert isinstance(answer, list)
        return answer

    async def close(self) -> None:
        """See `Provider`."""

    async def _answer(self, call: str) -> Answer:
        self.calls.append(call)
        if self.held == call:
            self.reached.set()
            await self._released.wait()
        script = self.answers[call]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _snapshot(self, answer: Answer) -> PredictionSnapshot:
        assert isinstance(answer, PredictionSnapshot)
        return answer


def ref(name: str = "p-1") -> PredictionRef:
    """A prediction's name."""
    return PredictionRef(name)


def active(logs: str = "", raw_status: str = "processing") -> PredictionSnapshot:
    """A prediction that goes on."""
    return PredictionSnapshot(
        ref=ref(), state=PredictionState.ACTIVE, raw_status=raw_status, logs=logs
    )


def succeeded(output: object = PICTURE) -> PredictionSnapshot:
    """A prediction that made a picture."""
    return PredictionSnapshot(
        ref=ref(), state=PredictionState.SUCCEEDED, raw_status="succeeded", output=output
    )


def failed(error_text: str) -> PredictionSnapshot:
    """A prediction that failed."""
    return PredictionSnapshot(
        ref=ref(), state=PredictionState.FAILED, raw_status="failed", error_text=error_text
    )


def canceled() -> PredictionSnapshot:
    """A prediction that someone or a deadline ended."""
    return PredictionSnapshot(ref=ref(), state=PredictionState.CANCELED, raw_status="canceled")
