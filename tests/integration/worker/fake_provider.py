"""A provider with prepared answers, and a clock that jumps over every wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from phoenix_compat.tasks.model.errors import StreamRefusedError
from phoenix_compat.tasks.model.prediction import PredictionRef, PredictionSnapshot, PredictionState
from phoenix_compat.tasks.model.task import Task
from phoenix_compat.tasks.provider.provider import Candidates
from phoenix_compat.tasks.streams.server_sent_events import ServerSentEvent

PICTURE = "https://replicate.delivery/xezq/out-0.jpg"
START = datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)

Answer: TypeAlias = (
    PredictionSnapshot | PredictionRef | Sequence[PredictionRef] | Candidates | Exception
)


class FakeClock:
    """A clock whose time moves only when something waits, and then jumps to the end of the wait.

    Attributes:
        elapsed_s: how far it has moved.
        has_jumped: set by each jump.
    """

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.has_jumped = asyncio.Event()

    def now(self) -> datetime:
        """`START` plus the elapsed time."""
        return START + timedelta(seconds=self.elapsed_s)

    def monotonic(self) -> float:
        """The elapsed time."""
        return self.elapsed_s

    async def wait(self, event: asyncio.Event, timeout_s: float | None) -> bool:
        """Let other tasks run first; if the event is still not set, jump to the end of the wait."""
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


class WithoutStreams:
    """A part of a provider whose predictions have no streams."""

    async def stream(
        self, ref: PredictionRef, after: str | None
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """See `Provider`; none of its predictions has a stream."""
        if ref.stream_url is None:
            raise StreamRefusedError("the prediction has no stream")
        yield ServerSentEvent("done", "{}")


class FakeProvider(WithoutStreams):
    """Answers each call from its list, in order; the last answer of a list is repeated.

    A call without a list fails.

    Attributes:
        calls: the names of the calls so far, in order.
        held: the name of a call that does not return until `release` is called.
        reached: set when the held call is made as often as `hold` says.
    """

    def __init__(self, **answers: Sequence[Answer]) -> None:
        self.answers = {name: list(given) for name, given in answers.items()}
        self.calls: list[str] = []
        self.held: str | None = None
        self._expected = 1
        self.reached = asyncio.Event()
        self._released = asyncio.Event()

    def hold(self, call: str, times: int = 1) -> None:
        """Hold a call from now on; `reached` is set when it was made so often."""
        self.held = call
        self._expected = times

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

    async def find(self, since: datetime, task: Task) -> Candidates:
        """See `Provider`."""
        answer = await self._answer("find")
        if isinstance(answer, list):
            return Candidates(ours=answer)
        assert isinstance(answer, Candidates)
        return answer

    async def close(self) -> None:
        """See `Provider`."""

    async def _answer(self, call: str) -> Answer:
        self.calls.append(call)
        if self.held == call:
            if self.count(call) >= self._expected:
                self.reached.set()
            await self._released.wait()
        answers = self.answers[call]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _snapshot(self, answer: Answer) -> PredictionSnapshot:
        assert isinstance(answer, PredictionSnapshot)
        return answer


def ref(name: str = "p-1") -> PredictionRef:
    """A reference to a prediction."""
    return PredictionRef(name)


def active(logs: str = "", raw_status: str = "processing") -> PredictionSnapshot:
    """A prediction that has not ended."""
    return PredictionSnapshot(
        ref=ref(), state=PredictionState.ACTIVE, raw_status=raw_status, logs=logs
    )


def succeeded(output: object = PICTURE) -> PredictionSnapshot:
    """A prediction that made a picture, or another output."""
    return PredictionSnapshot(
        ref=ref(), state=PredictionState.SUCCEEDED, raw_status="succeeded", output=output
    )


def failed(error_text: str) -> PredictionSnapshot:
    """A prediction that failed."""
    return PredictionSnapshot(
        ref=ref(), state=PredictionState.FAILED, raw_status="failed", error_text=error_text
    )


def canceled() -> PredictionSnapshot:
    """A prediction that was canceled, by a request or at a deadline."""
    return PredictionSnapshot(ref=ref(), state=PredictionState.CANCELED, raw_status="canceled")
