"""The runner waits for answers that are late, and still notices those that never come."""

from __future__ import annotations

import asyncio
import json
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
    steps = Case("late", parse_case({"id": "two", "steps": SILENT_STEPS}).steps)
    idle = [{**SILENT_STEPS[0], "path": "/slow/websocket"}, SILENT_STEPS[1]]
    case = parse_case({"id": "timed", "steps": [*idle, {"op": "wait", "s": 0}]})

    async with FakeServer([LATE_S, text("[1]")]).run() as base_url:
        usual = await run_case(steps, base_url, quiet_s=QUIET_S)
        slow = await run_case(steps, base_url, quiet_s=QUIET_S, pace=Pace(machine.lateness))
        timed = await run_case(case, base_url, speedup=2.5, pace=Pace(machine.lateness))

    assert usual.passed
    assert slow.reasons == ["step 2, a: a frame too many: [1]"]
    assert timed.steps[1].is_right, "the quiet time beside an idle timeout does not grow"


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


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize(
    ("times_wrong", "plays", "passes"), [(0, 1, True), (1, 2, True), (2, 3, True), (3, 3, False)]
)
async def test_every_failing_case_is_played_again_alone(
    waits: bool, times_wrong: int, plays: int, passes: bool
) -> None:
    """D10: a case that passes alone has passed, one that fails alone twice has failed, and each
    case is told once."""
    steps = [OPEN, *([{"op": "wait", "s": 0}] if waits else [])]
    case = parse_case({"id": "again", "steps": steps})
    refusals = [plain(503)] * (1 + times_wrong)  # the pace is measured first
    server = FakeServer(responses=(*refusals, WELCOME))
    told: list[CaseResult] = []

    async with server.run() as base_url:
        results = await run_cases([case], base_url, quiet_s=QUIET_S, on_result=told.append)

    assert results == told
    assert [(result.passed, result.failed) for result in results] == [(passes, not passes)]
    assert [result.plays for result in results] == [plays]


async def test_a_case_that_is_known_to_fail_is_not_played_again() -> None:
    """Its failure accuses no one."""
    case = parse_case({"id": "known", "steps": [OPEN]})

    async with FakeServer(responses=(plain(503),)).run() as base_url:
        results = await run_cases([case], base_url, is_known=lambda one: one.id == "known")

    assert [(result.failed, result.plays) for result in results] == [(True, 1)]


@pytest.mark.parametrize(
    ("quiet_s", "took_s"), [(0.02, pytest.approx(1.0, abs=0.4)), (1.0, pytest.approx(1.0, abs=0.4))]
)
async def test_a_case_beside_an_idle_timeout_does_not_depend_on_the_quiet_time(
    quiet_s: float, took_s: float
) -> None:
    """It has the quiet time of the recording, 250 ms, whatever `--quiet-ms` says."""
    steps = [{**SILENT_STEPS[0], "path": "/slow/websocket"}, *SILENT_STEPS[1:]]
    case = parse_case({"id": "idle", "steps": [*steps, {"op": "wait", "s": 0.5}]})

    async with FakeServer().run() as base_url:
        result = await run_case(case, base_url, quiet_s=quiet_s)

    assert result.passed, result.explain()
    assert result.took_s == took_s


def poll(*messages: str, status: int = 200) -> bytes:
    """The answer to a poll."""
    return plain(200, json.dumps({"messages": messages, "status": status, "token": "T"}).encode())


@pytest.mark.parametrize(
    ("answers", "passes"),
    [
        ([poll("[1]", "[2]", "[3]")], True),
        ([poll("[1]"), poll("[2]", "[3]")], True),
        ([poll("[1]"), poll("[2]"), poll("[3]")], True),
        ([poll("[1]"), poll(status=204)], False),
        ([poll("[1]", "[3]"), poll("[2]")], False),
        ([poll("[1]"), poll("[2]", "[3]", "[4]")], False),
        ([poll(status=204)], False),
    ],
)
async def test_the_messages_of_a_poll_may_come_in_several(
    answers: list[bytes], passes: bool
) -> None:
    """A server answers a poll as soon as there is a message; whatever is behind it comes next."""
    body = {"messages": [[1], [2], [3]], "status": 200, "token": "<any>"}
    expect = {"http": {"status": 200, "body": body}}
    case = parse_case({"id": "poll", "steps": [{"op": "http", "path": "/p", "expect": expect}]})

    result = await judge(case, responses=tuple(answers))

    assert result.passed is passes, result.explain()
