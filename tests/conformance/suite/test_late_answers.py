"""The runner waits for answers that are late, and still notices those that never come."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from phoenix_compat.conformance.suite.cases import Case, parse_case
from phoenix_compat.conformance.suite.pace import Pace
from phoenix_compat.conformance.suite.runner import (
    CaseResult,
    run_case,
    run_cases,
)
from tests.conformance.suite.fake_machine import FakeMachine
from tests.conformance.suite.fake_server import (
    WELCOME,
    FakeServer,
    close,
    plain,
    text,
)
from tests.conformance.suite.scripted_cases import (
    LATE_S,
    OPEN,
    QUIET_S,
    SILENT_STEPS,
    asking,
    judge,
)


async def test_frames_that_are_wanted_may_be_late() -> None:
    """They are waited for longer than the quiet time, also if some of them are in time."""
    case = asking({"text": [1]}, {"text": [2]})

    result = await judge(case, [text("[1]"), LATE_S, text("[2]")])

    assert result.passed, result.explain()


async def test_a_frame_too_many_is_noticed_after_a_late_one() -> None:
    """The quiet time begins again with each frame."""
    result = await judge(asking({"text": [1]}), [LATE_S, text("[1]"), QUIET_S / 4, text("[2]")])

    assert result.reasons == ["step 2, a: a frame too many: [2]"]


async def test_silence_is_longer_on_a_slow_machine(machine: FakeMachine) -> None:
    """With a pace, an unwanted frame is noticed in the step that it belongs to."""
    machine.late_s = 0.5
    await machine.samples(1)
    case = parse_case({"id": "two", "steps": [*SILENT_STEPS, {"op": "wait", "s": 0}]})
    steps = Case("late", case.steps[:2])

    async with FakeServer([LATE_S, text("[1]")]).run() as base_url:
        usual = await run_case(steps, base_url, quiet_s=QUIET_S)
        slow = await run_case(steps, base_url, quiet_s=QUIET_S, pace=Pace(machine.lateness))
        timed = await run_case(case, base_url, quiet_s=QUIET_S, pace=Pace(machine.lateness))

    assert usual.passed
    assert slow.reasons == ["step 2, a: a frame too many: [1]"]
    assert timed.steps[1].is_right, "the quiet time of a case with waits does not grow"


async def test_only_one_lost_answer_is_waited_for() -> None:
    """A case that has failed waits no longer than the quiet time."""
    case = asking({"text": [1]})
    longer = Case("longer", case.steps + case.steps[1:] * 5)

    result = await judge(longer, [])

    waited_s = [later.at_s - line.at_s for line, later in pairwise(result.log[1:])]
    assert len(result.steps) == 7
    assert waited_s[0] >= 8 * QUIET_S
    assert min(waited_s[1:]) < 8 * QUIET_S


async def test_late_answers_are_taken_from_the_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """So what the server does by its clock comes when it did in the recording."""
    slept_s: list[float] = []
    sleep = asyncio.sleep

    async def remember(delay: float) -> None:
        slept_s.append(delay)
        await sleep(delay)

    monkeypatch.setattr(asyncio, "sleep", remember)
    asked = {"op": "send", "json": ["?"], "expect": {"frames": {"a": [{"text": [1]}]}}}
    case = parse_case({"id": "timed", "steps": [OPEN, asked, {"op": "wait", "s": 0.6}]})

    result = await judge(case, [LATE_S, text("[1]")])

    assert result.passed, result.explain()
    assert max(delay for delay in slept_s if delay != LATE_S) <= 0.6 - LATE_S


async def test_what_must_come_during_a_wait_may_not_be_late() -> None:
    """A close after an idle timeout that is too long is wrong, not slow."""
    ended = {"op": "wait", "s": 0.0, "expect": {"frames": {"a": [{"close": 1002}]}}}
    case = parse_case({"id": "idle", "steps": [*SILENT_STEPS, ended]})

    result = await judge(case, [4 * QUIET_S, close(1002)])

    assert result.reasons == ["step 3, a: a frame is missing: close 1002"]


@pytest.mark.parametrize(
    ("waits", "times_wrong", "passes"), [(True, 1, True), (True, 2, False), (False, 1, False)]
)
async def test_a_case_with_waits_is_played_again_alone(
    waits: bool, times_wrong: int, passes: bool
) -> None:
    """D10: the second result counts, and each case is told once; other cases are not played again,
    because their answers are waited for."""
    steps = [OPEN, *([{"op": "wait", "s": 0}] if waits else [])]
    case = parse_case({"id": "waits", "steps": steps})
    refusals = [plain(503)] * (1 + times_wrong)  # the pace is measured first
    server = FakeServer(responses=(*refusals, WELCOME))
    told: list[CaseResult] = []

    async with server.run() as base_url:
        results = await run_cases([case], base_url, quiet_s=QUIET_S, on_result=told.append)

    assert results == told
    assert [result.passed for result in results] == [passes]
