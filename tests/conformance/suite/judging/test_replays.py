"""Failing cases are played again alone, within limits, and that decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from phoenix_compat.conformance.suite.cases import Case, SendText, Step
from phoenix_compat.conformance.suite.judging.conditions import Conditions
from phoenix_compat.conformance.suite.judging.replays import ENOUGH_IN_A_ROW, Replays
from phoenix_compat.conformance.suite.judging.results import CaseResult, StepResult
from phoenix_compat.conformance.suite.judging.timing import ONCE, PATIENT, STRICT, Timing

ACTION = SendText("a", "[]")
WANTED = {"frames": {"a": [{"text": [1]}]}}


def result(*, passed: bool = False, late_s: float = 0.0, wrong: int = 1) -> CaseResult:
    """A play; step `wrong` of it lacks a frame unless it passed."""
    steps = [
        StepResult(ACTION, WANTED, {}, () if passed or number != wrong else ("missing",), 2.0)
        for number in (1, 2)
    ]
    case = Case("x", (Step(ACTION, WANTED),) * 2)
    return CaseResult(case, tuple(steps), conditions=Conditions(late_s, 0.0))


PASSED, FAILED, DOUBTED = result(passed=True), result(), result(late_s=1.0)


class Plays:
    """Returns results in turn, and remembers with how much patience they were asked for."""

    def __init__(self, *results: CaseResult) -> None:
        self._results: Iterator[CaseResult] = iter(results)
        self.patience: list[float] = []

    async def __call__(self, patience: float) -> CaseResult:
        """The next result."""
        self.patience.append(patience)
        return next(self._results)


async def alone() -> float:
    """The crowding of a machine that does nothing else."""
    return 1.0


@pytest.mark.parametrize(
    ("timing", "crowding", "patience"),
    [(PATIENT, 6.0, [6.0, 12.0, 24.0]), (PATIENT, 50.0, [20.0, 40.0, 80.0]), (STRICT, 6.0, [4.0])],
)
async def test_a_crowded_machine_gets_more_time(
    timing: Timing, crowding: float, patience: list[float]
) -> None:
    """By the factor by which long work takes longer, up to the limit of the timing."""

    async def crowded() -> float:
        return crowding

    plays = Plays(*[DOUBTED] * (len(patience) - 1), PASSED)
    verdict = await Replays(timing, crowding=crowded).judge(FAILED, plays)

    assert verdict.passed
    assert plays.patience == patience


@pytest.mark.parametrize(
    ("timing", "again", "outcome"),
    [
        (PATIENT, [PASSED], "passed"),
        (PATIENT, [FAILED, PASSED], "passed"),
        (PATIENT, [FAILED, FAILED], "failed"),
        (PATIENT, [DOUBTED, FAILED, FAILED], "failed"),
        (PATIENT, [DOUBTED, DOUBTED, PASSED], "passed"),
        (PATIENT, [DOUBTED, FAILED, DOUBTED], "not judged"),
        (PATIENT, [DOUBTED, DOUBTED, DOUBTED], "not judged"),
        (STRICT, [FAILED], "failed"),
        (STRICT, [DOUBTED, FAILED], "failed"),
        (STRICT, [DOUBTED, PASSED], "passed"),
        (STRICT, [DOUBTED, DOUBTED], "not judged"),
        (ONCE, [], "failed"),
    ],
)
async def test_the_plays_alone_decide(
    timing: Timing, again: list[CaseResult], outcome: str
) -> None:
    """As many failures without doubt as the timing needs; patience grows from play to play."""
    plays = Plays(*again)

    verdict = await Replays(timing, crowding=alone).judge(FAILED, plays)

    seen = "passed" if verdict.passed else "failed" if verdict.failed else "not judged"
    assert seen == outcome
    assert verdict.plays == 1 + len(again)
    assert tuple(plays.patience) == timing.patience[: len(again)]
    assert (verdict.unjudged is not None) is (outcome == "not judged")


async def stable(replays: Replays, number: int) -> None:
    """So many cases that fail alone as they did among others."""
    for _case in range(number):
        await replays.judge(FAILED, Plays(FAILED, FAILED))


async def test_enough_stable_failures_end_the_replays() -> None:
    """Then a failure among others counts, if machine and server were quick meanwhile."""
    replays = Replays(PATIENT, crowding=alone)
    await stable(replays, ENOUGH_IN_A_ROW)

    calm = await replays.judge(FAILED, Plays())
    busy = await replays.judge(result(late_s=0.06), Plays(PASSED))

    assert calm.failed
    assert calm.plays == 1
    assert busy.passed


@pytest.mark.parametrize("other", [[PASSED], [DOUBTED] * 3, [result(wrong=2)] * 2])
async def test_a_case_that_ends_otherwise_begins_the_count_again(other: list[CaseResult]) -> None:
    """One that passes alone, is doubted, or fails in another step."""
    replays = Replays(PATIENT, crowding=alone)
    await stable(replays, ENOUGH_IN_A_ROW - 1)
    await replays.judge(FAILED, Plays(*other))
    await stable(replays, ENOUGH_IN_A_ROW - 1)

    verdict = await replays.judge(FAILED, Plays(PASSED))

    assert verdict.passed


async def test_when_the_time_is_up_nothing_is_played_again() -> None:
    """The rest could not be judged, and says why."""
    now_s = 0.0
    replays = Replays(STRICT, clock=lambda: now_s, crowding=alone)
    await replays.judge(FAILED, Plays(PASSED))
    now_s = STRICT.replay_limit_s

    verdict = await replays.judge(FAILED, Plays())

    assert verdict == replace(
        FAILED, unjudged="it failed among others, and the 60 s for playing again are used up"
    )
    assert verdict.explain().startswith("NOT JUDGED: x websocket\n  it failed among others")
