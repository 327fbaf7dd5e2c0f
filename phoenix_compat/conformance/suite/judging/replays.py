"""Plays each failing case again, alone, before it is reported as a failure.

Among others, on a busy machine, a server can be late through no fault of its own. A case that
passes alone has passed. One that fails alone has failed if nothing casts doubt on it, and otherwise
it could not be judged.

Alone, a case gets more time if the machine is crowded: by the factor by which long work takes
longer there, such as the formatting of a crash, which heartbeats do not show.

A server with hundreds of failing cases must not take an hour. When ten cases in a row have failed
alone in the same steps as among others, playing alone makes no difference: the first play then
counts for each further case that failed while machine and server were quick. After the time limit
of the timing, a case that would have to be played again could not be judged.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from phoenix_compat.conformance.suite.judging.doubt import doubt
from phoenix_compat.conformance.suite.judging.results import CaseResult
from phoenix_compat.conformance.suite.judging.timing import Timing
from phoenix_compat.conformance.suite.machine import crowding

ENOUGH_IN_A_ROW: Final = 10
"""So many cases that failed alone as among others make further replays unnecessary."""

_CROWDING_S: Final = 5.0
"""For so long what was measured counts."""

Play = Callable[[float], Awaitable[CaseResult]]
"""Plays one case, with all time limits multiplied by the argument."""


class Replays:
    """The replays of one run.

    Args:
        timing: how often and how long.
        speedup: see `doubt`.
        clock: the time in seconds.
        crowding: measures how crowded the machine is; see `machine`.
    """

    def __init__(
        self,
        timing: Timing,
        speedup: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        crowding: Callable[[], Awaitable[float]] = crowding,
    ) -> None:
        self._timing = timing
        self._speedup = speedup
        self._clock = clock
        self._crowding = crowding
        self._crowded: tuple[float, float] | None = None
        self._in_a_row = 0
        self._ends_at_s: float | None = None

    async def judge(self, first: CaseResult, play: Play) -> CaseResult:
        """The verdict on a case that failed among others.

        Args:
            first: the play among others.
            play: plays it again; no other case may be played meanwhile.
        """
        if not self._timing.patience:
            return first
        if self._in_a_row >= ENOUGH_IN_A_ROW and self._is_proven(first):
            return first
        if self._is_time_up():
            limit_s = self._timing.replay_limit_s
            reason = f"it failed among others, and the {limit_s:g} s for playing again are used up"
            return replace(first, unjudged=reason)
        result = await self._play_alone(first, play)
        is_as_before = result.failed and _wrong_steps(result) == _wrong_steps(first)
        self._in_a_row = self._in_a_row + 1 if is_as_before else 0
        return result

    async def _play_alone(self, first: CaseResult, play: Play) -> CaseResult:
        result, failures, reason = first, 0, None
        for number, patience in enumerate(self._timing.patience, start=2):
            factor = await self._crowding_now()
            result = replace(await play(patience * factor), plays=number)
            if result.passed:
                return result
            why = doubt(result, self._speedup)
            reason = why or reason
            failures += why is None
            if failures == self._timing.failures_needed:
                return result
        return replace(result, unjudged=reason)

    async def _crowding_now(self) -> float:
        """The factor of the crowded machine, at most that of the timing; measured now and then."""
        now_s = self._clock()
        if self._crowded is None or now_s >= self._crowded[0] + _CROWDING_S:
            self._crowded = (now_s, min(await self._crowding(), self._timing.max_factor))
        return self._crowded[1]

    def _is_proven(self, first: CaseResult) -> bool:
        return first.conditions.is_calm and doubt(first, self._speedup) is None

    def _is_time_up(self) -> bool:
        now_s = self._clock()
        if self._ends_at_s is None:
            self._ends_at_s = now_s + self._timing.replay_limit_s
        return now_s >= self._ends_at_s


def _wrong_steps(result: CaseResult) -> tuple[int | None, ...]:
    """The numbers of the steps that differ, and of the one that could not be played."""
    wrong = [number for number, step in enumerate(result.steps) if not step.is_right]
    return (*wrong, None if result.error is None else len(result.steps))
