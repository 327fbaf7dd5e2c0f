"""A failure counts only if machine and server were quick enough for it to mean something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from phoenix_compat.conformance.suite.cases import Case, Http, Open, SendText, Step, Wait
from phoenix_compat.conformance.suite.judging.conditions import Conditions
from phoenix_compat.conformance.suite.judging.doubt import doubt
from phoenix_compat.conformance.suite.judging.results import CaseResult, StepResult

ONE, OTHER = {"text": [1]}, {"text": [2]}
ASKED = SendText("a", "[]")


def frames(*shown: Any) -> dict[str, Any]:
    """What one connection received."""
    return {"frames": {"a": list(shown)}} if shown else {}


def failed(
    wanted: Any,
    got: Any,
    *,
    took_s: float = 2.0,
    late_s: float = 0.0,
    answer_s: float = 0.0,
    target: str = "/socket/websocket",
) -> CaseResult:
    """A case with one step that differs."""
    steps = (Step(Open("a", target, {}, ())), Step(ASKED, wanted), Step(Wait(1.0)))
    result = StepResult(ASKED, wanted, got, ("it differs",), took_s)
    return CaseResult(Case("x", steps), (result,), conditions=Conditions(late_s, answer_s))


@pytest.mark.parametrize(
    ("result", "is_doubted"),
    [
        pytest.param(failed(frames(ONE), {}, answer_s=0.25), False, id="silence-long-enough"),
        pytest.param(failed(frames(ONE), {}, answer_s=0.26), True, id="silence-too-short"),
        pytest.param(failed(frames(ONE), {}, late_s=0.26), True, id="machine-too-busy"),
        pytest.param(failed(frames(ONE), frames(OTHER), late_s=9.0), False, id="wrong-frame"),
        pytest.param(failed({}, frames(ONE), answer_s=9.0), False, id="frame-too-many"),
        pytest.param(
            failed({}, frames({"violation": "not answered"}), answer_s=9.0), True, id="violation"
        ),
        pytest.param(
            failed(frames({"close": 1002}), {}, late_s=0.2, target="/slow/websocket"),
            True,
            id="busy-beside-an-idle-timeout",
        ),
        pytest.param(
            failed({}, frames({"close": 1002}), late_s=0.2, target="/slow/websocket"),
            True,
            id="closed-too-early-beside-an-idle-timeout",
        ),
        pytest.param(
            failed(frames(ONE), frames(OTHER), late_s=9.0, target="/slow/websocket"),
            False,
            id="wrong-frame-that-has-nothing-to-do-with-the-idle-timeout",
        ),
        pytest.param(
            failed({}, frames({"close": 1002}), late_s=0.1, target="/slow/websocket"),
            False,
            id="nearly-quiet-beside-an-idle-timeout",
        ),
    ],
)
def test_what_is_doubted(result: CaseResult, *, is_doubted: bool) -> None:
    """What is missing is doubted after too short a silence, everything beside a late clock."""
    assert (doubt(result) is not None) is is_doubted


def test_a_case_that_passed_is_not_doubted() -> None:
    """However late everything was."""
    result = failed({}, {}, late_s=9.0, target="/slow/websocket")

    assert doubt(replace(result, steps=(replace(result.steps[0], reasons=()),))) is None


@pytest.mark.parametrize(
    ("wanted", "got", "is_doubted"),
    [
        ({"status": 200}, {"status": 410}, True),
        ({"status": 410}, {"status": 200}, True),
        ({"status": 408}, {"status": 403}, True),
        ({"status": 200}, {"status": 403}, False),
        ({"status": 200}, None, False),
    ],
)
def test_only_the_end_of_a_long_poll_session_depends_on_its_clock(
    wanted: Any, got: Any, *, is_doubted: bool
) -> None:
    """Another wrong answer is wrong on a busy machine, too."""
    action = Http("GET", "/extra/longpoll?token=T", {}, "", (), ())
    step = StepResult(action, {"http": {"body": wanted}}, {"http": {"body": got}}, ("differs",))
    result = CaseResult(Case("x", (Step(action),)), (step,), conditions=Conditions(0.5, 0.0))

    assert (doubt(result) is not None) is is_doubted


@pytest.mark.parametrize(
    ("body", "is_doubted"),
    [({"messages": [[1]]}, True), ({"messages": [[2]]}, False), ({"status": 410}, False)],
)
def test_a_poll_that_brings_too_little_is_silence(body: Any, *, is_doubted: bool) -> None:
    """Messages that differ are not."""
    action = Http("GET", "/x", {}, "", (), ())
    wanted = {"http": {"status": 200, "body": {"messages": [[1], [2]]}}}
    step = StepResult(action, wanted, {"http": {"status": 200, "body": body}}, ("differs",), 1.0)
    result = CaseResult(Case("x", (Step(action),)), (step,), conditions=Conditions(0.5, 0.0))

    assert (doubt(result) is not None) is is_doubted


@pytest.mark.parametrize(("is_timeout", "is_doubted"), [(True, True), (False, False)])
def test_an_answer_that_never_came_is_silence(is_timeout: bool, is_doubted: bool) -> None:
    """An error such as a refused connection is not."""
    result = CaseResult(
        Case("x", ()), (), "step 1: …", (), 5.0, Conditions(1.0, 0.0), is_timeout=is_timeout
    )

    assert (doubt(result) is not None) is is_doubted


def test_the_reason_says_what_was_slow() -> None:
    """People learn whether to look at their machine or at their server."""
    busy = doubt(failed(frames(ONE), {}, late_s=0.5))
    slow = doubt(failed(frames({"close": 1002}), {}, answer_s=0.4, target="/slow/websocket"))

    assert busy == (
        "something is missing after 2.0 s, but this machine was so busy that the suite ran up to "
        "0.50 s late, so silence means nothing yet"
    )
    assert slow == (
        "the case depends on a timeout of the server (2 s), and the server took up to 0.40 s to "
        "answer a heartbeat; up to 0.12 s does not matter"
    )
