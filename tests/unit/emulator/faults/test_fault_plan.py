"""Asking for faults, and how often they strike."""

from __future__ import annotations

import random

import pytest

from phoenix_compat.emulator.faults.fault import Stage
from phoenix_compat.emulator.faults.fault_plan import (
    FaultPlan,
    marks_in_header,
    marks_in_text,
)
from phoenix_compat.emulator.problem import ProblemError


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan(random.Random(7))  # noqa: S311 - no secret


def struck(plan: FaultPlan, text: str, stage: Stage = Stage.CREATE) -> str | None:
    fault = plan.pick(stage, marks_in_text(text), text)
    return fault.name if fault else None


def test_a_keyword_without_a_number_strikes_always(plan: FaultPlan) -> None:
    """`#fault:502` strikes every time."""
    assert [struck(plan, "a monk #fault:502") for _ in range(3)] == ["502"] * 3


def test_a_keyword_with_a_number_strikes_so_often(plan: FaultPlan) -> None:
    """`#fault:429x2` strikes twice and then lets the prompt through."""
    assert [struck(plan, "#fault:429x2") for _ in range(4)] == ["429", "429", None, None]


def test_each_prompt_has_its_own_count(plan: FaultPlan) -> None:
    """Another prompt with the same fault starts anew."""
    struck(plan, "one #fault:429x1")

    assert struck(plan, "two #fault:429x1") == "429"


def test_faults_of_one_stage_strike_in_turn(plan: FaultPlan) -> None:
    """Two counted faults in a prompt come one after the other."""
    text = "#fault:429x2 and #fault:500x1"

    assert [struck(plan, text) for _ in range(4)] == ["429", "429", "500", None]


def test_a_fault_strikes_only_at_its_stage(plan: FaultPlan) -> None:
    """A fault of the polls leaves the create alone."""
    assert struck(plan, "#fault:poll_500") is None
    assert struck(plan, "#fault:poll_500", Stage.POLL) == "poll_500"


def test_an_armed_fault_strikes_everybody_until_used_up(plan: FaultPlan) -> None:
    """Armed for two, it strikes two prompts and is gone."""
    plan.arm("500", 2)

    assert [struck(plan, prompt) for prompt in "abc"] == ["500", "500", None]
    assert plan.armed == ()


def test_an_armed_fault_stays_until_cleared(plan: FaultPlan) -> None:
    """Without a number it strikes until it is cleared."""
    plan.arm("500")
    plan.arm("poll_500")
    assert struck(plan, "x") == "500"

    plan.clear("500")

    assert struck(plan, "x") is None
    assert [armed.fault.name for armed in plan.armed] == ["poll_500"]


def test_a_rate_strikes_now_and_then(plan: FaultPlan) -> None:
    """At a rate of 0.3 about three in ten are struck."""
    plan.arm("500", rate=0.3)

    hits = sum(struck(plan, "x") is not None for _ in range(1000))

    assert 250 < hits < 350


def test_outcome_faults_combine(plan: FaultPlan) -> None:
    """All faults of the outcome stage strike together, marked and armed."""
    plan.arm("clock_ahead")

    names = [
        fault.name
        for fault in plan.pick_all(Stage.OUTCOME, marks_in_text("#fault:E003 #fault:logs_cr"), "x")
    ]

    assert names == ["E003", "logs_cr", "clock_ahead"]


def test_a_header_lists_faults() -> None:
    """`X-Emu-Fault` takes names and counts between commas."""
    marks = marks_in_header("429x2, list_lag")

    assert [(mark.fault.name, mark.times) for mark in marks] == [("429", 2), ("list_lag", None)]


def test_an_unknown_name_is_refused_with_a_hint(plan: FaultPlan) -> None:
    """A misspelt fault is an error that names the likely one, not silence."""
    with pytest.raises(ProblemError, match=r"did you mean .*poll_500"):
        plan.arm("pol_500")


@pytest.mark.parametrize(("times", "rate"), [(0, 1.0), (None, 0.0), (None, 1.5)])
def test_numbers_out_of_range_are_refused(plan: FaultPlan, times: int | None, rate: float) -> None:
    """times is at least 1, rate above 0 and at most 1."""
    with pytest.raises(ProblemError):
        plan.arm("500", times, rate=rate)


def test_what_struck_is_counted(plan: FaultPlan) -> None:
    """The totals tell how often each fault struck."""
    struck(plan, "#fault:429x2")
    struck(plan, "#fault:429x2")

    assert plan.totals == {"429": 2}
