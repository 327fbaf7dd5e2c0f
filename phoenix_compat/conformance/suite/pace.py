"""How long a run waits: its time limits, times what the machine and the server need.

    pace = Pace()
    async with pace.watching("http://localhost:4001"):
        async with asyncio.timeout(pace.stretch(0.25)):
            await what_must_come

The factor is 1 on a machine that is not busy, with a server that answers within 100 ms. It is
measured when a run begins, grows while the event loop wakes up late or the server answers late, and
is never more than that of the timing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, Protocol

from phoenix_compat.conformance.suite.judging.conditions import (
    QUICK_ANSWER_S,
    USUAL_LATENESS_S,
    Conditions,
)
from phoenix_compat.conformance.suite.judging.pulse import FAILURES, Heartbeats, Pulse
from phoenix_compat.conformance.suite.judging.timing import PATIENT, Timing
from phoenix_compat.conformance.suite.machine import LoopLateness, processor_slowness

MAX_FACTOR: Final = PATIENT.max_factor
"""A server that does not answer must still fail, however slow everything is."""

_HEARTBEATS: Final = 4
"""The first of them warms the connection up."""
_HEARTBEATS_LIMIT_S: Final = 5.0
_FIRST_WAKE_UPS: Final = 10
_FIRST_TICK_S: Final = 0.01


class TimeLimits(Protocol):
    """What the players of a case know of the pace."""

    def stretch(self, limit_s: float) -> float:
        """A time limit in seconds for a quick server, as long as it must be now."""


class Pace:
    """The factor of one run.

    Args:
        timing: has the highest factor.
        lateness: measures the event loop.
        slowness: how slow the processor is, 1.0 if it is usual.
        clock: the time in seconds.

    Attributes:
        highest: the highest factor that a time limit has had.
    """

    def __init__(
        self,
        lateness: LoopLateness | None = None,
        slowness: Callable[[], float] = processor_slowness,
        clock: Callable[[], float] = time.monotonic,
        *,
        timing: Timing = PATIENT,
    ) -> None:
        self.highest = 1.0
        self._lateness = lateness or LoopLateness()
        self._slowness = slowness
        self._clock = clock
        self._max_factor = timing.max_factor
        self._at_start = 1.0
        self._pulse = Pulse(self._note_answer)
        self._observed: list[Conditions] = []
        self._lateness.on_sample = self._note_lateness

    @property
    def factor(self) -> float:
        """How many times longer to wait now, from 1.0 to the highest, in steps of 0.1."""
        late = self._lateness.worst_s / USUAL_LATENESS_S
        answers = self._pulse.slowest_s / QUICK_ANSWER_S
        return round(min(max(self._at_start, late, answers, 1.0), self._max_factor), 1)

    def stretch(self, limit_s: float) -> float:
        """A time limit for a quick server and a machine that is not busy, as long as it is now."""
        factor = self.factor
        self.highest = max(self.highest, factor)
        return limit_s * factor

    def times(self, patience: float) -> TimeLimits:
        """The time limits of this pace, all multiplied by a factor."""
        return _Multiplied(self, patience)

    @contextmanager
    def observing(self) -> Iterator[Conditions]:
        """Record the worst conditions until the block ends."""
        conditions = Conditions()
        self._observed.append(conditions)
        try:
            yield conditions
        finally:
            self._observed = [one for one in self._observed if one is not conditions]
            conditions.answer_s = max(conditions.answer_s, self._pulse.awaited_s)

    @asynccontextmanager
    async def watching(self, base_url: str) -> AsyncIterator[None]:
        """Measure the machine and the server, then watch both until the block ends."""
        await self.measure(base_url)
        watches = [
            asyncio.create_task(self._lateness.watch()),
            asyncio.create_task(self._pulse.watch(base_url)),
        ]
        try:
            yield
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.wait(watches)

    async def measure(self, base_url: str) -> None:
        """Measure the processor, the event loop and how long the server takes to answer.

        A server that does not answer is not a slow one: it leaves the factor as it is.
        """
        slowness = self._slowness()
        took_s, _ = await asyncio.gather(self._answers_s(base_url), self._first_wake_ups())
        answer_s = max(took_s[1:] or took_s, default=0.0)
        self._at_start = max(slowness, answer_s / QUICK_ANSWER_S)
        self._pulse.has_answered = bool(took_s)

    def _note_lateness(self, late_s: float) -> None:
        for conditions in self._observed:
            conditions.late_s = max(conditions.late_s, late_s)

    def _note_answer(self, took_s: float) -> None:
        for conditions in self._observed:
            conditions.answer_s = max(conditions.answer_s, took_s)

    async def _first_wake_ups(self) -> None:
        for _wake_up in range(_FIRST_WAKE_UPS):
            await self._lateness.sample(_FIRST_TICK_S)

    async def _answers_s(self, base_url: str) -> list[float]:
        """How long each heartbeat took to be answered; empty if there was no answer."""
        took_s: list[float] = []
        with suppress(*FAILURES):  # the cases will report what the server does
            async with (
                asyncio.timeout(_HEARTBEATS_LIMIT_S),
                Heartbeats.open(base_url) as heartbeats,
            ):
                while heartbeats and len(took_s) < _HEARTBEATS:
                    began_s = self._clock()
                    if not await heartbeats.ask(str(len(took_s) + 1)):
                        break
                    took_s.append(self._clock() - began_s)
        return took_s


class _Multiplied:
    """The time limits of a pace, all multiplied by a factor."""

    def __init__(self, pace: Pace, patience: float) -> None:
        self._pace = pace
        self._patience = patience

    def stretch(self, limit_s: float) -> float:
        return self._pace.stretch(limit_s) * self._patience
