"""Requesting faults, and how often they apply."""

from __future__ import annotations

import random

import pytest

from phoenix_compat.emulator.faults.fault import Stage
from phoenix_compat.emulator.faults.fault_plan import (
    FaultPlan,
    fault_specs_in_header,
    fault_specs_in_text,
)
from phoenix_compat.emulator.problem import ProblemError


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan(random.Random(7))  # noqa: S311 - no secret


def picked(plan: FaultPlan, text: str, stage: Stage = Stage.CREATE) -> str | None:
    fault = plan.pick(stage, fault_specs_in_text(text), text)
    return fault.name if fault else None


def test_a_keyword_without_a_count_always_applies(plan: FaultPlan) -> None:
    """`#fault:502` applies every time."""
    assert [picked(plan, "a monk #fault:502") for _ in range(3)] == ["502"] * 3


def test_a_keyword_with_a_count_applies_that_often(plan: FaultPlan) -> None:
    """`#fault:429x2` applies twice, and then the prompt passes."""
    assert [picked(plan, "#fault:429x2") for _ in range(4)] == ["429", "429", None, None]


def test_each_prompt_has_its_own_count(plan: FaultPlan) -> None:
    """Another prompt with the same fault starts from zero."""
    picked(plan, "one #fault:429x1")

    assert picked(plan, "two #fault:429x1") == "429"


def test_faults_of_one_stage_apply_in_turn(plan: FaultPlan) -> None:
    """Two counted faults in a prompt apply one after the other."""
    text = "#fault:429x2 and #fault:500x1"

    assert [picked(plan, text) for _ in range(4)] == ["429", "429", "500", None]


def test_a_fault_applies_only_at_its_stage(plan: FaultPlan) -> None:
    """A fault of polls does not affect the create."""
    assert picked(plan, "#fault:poll_500") is None
    assert picked(plan, "#fault:poll_500", Stage.POLL) == "poll_500"


def test_an_armed_fault_applies_to_all_requests_until_used_up(plan: FaultPlan) -> None:
    """Armed for two times, it applies to two prompts and is then disarmed."""
    plan.arm("500", 2)

    assert [picked(plan, prompt) for prompt in "abc"] == ["500", "500", None]
    assert plan.armed == ()


def test_an_armed_fault_stays_until_cleared(plan: FaultPlan) -> None:
    """Without a count it applies until it is cleared."""
    plan.arm("500")
    plan.arm("poll_500")
    assert picked(plan, "x") == "500"

    plan.clear("500")

    assert picked(plan, "x") is None
    assert [armed.fault.name for armed in plan.armed] == ["poll_500"]


def test_a_rate_is_a_probability(plan: FaultPlan) -> None:
    """At a rate of 0.3 the fault applies to about three in ten requests."""
    plan.arm("500", rate=0.3)

    hits = sum(picked(plan, "x") is not None for _ in range(1000))

    assert 250 < hits < 350


def test_outcome_faults_combine(plan: FaultPlan) -> None:
    """All faults of the outcome stage apply together, both requested and armed ones."""
    plan.arm("clock_ahead")

    names = [
        fault.name
        for fault in plan.pick_all(
            Stage.OUTCOME, fault_specs_in_text("#fault:E003 #fault:logs_cr"), "x"
        )
    ]

    assert names == ["E003", "logs_cr", "clock_ahead"]


def test_a_header_lists_faults() -> None:
    """`X-Emu-Fault` is a comma-separated list of names with optional counts."""
    fault_specs = fault_specs_in_header("429x2, list_lag")

    assert [(spec.fault.name, spec.times) for spec in fault_specs] == [
        ("429", 2),
        ("list_lag", None),
    ]


def test_an_unknown_name_is_refused_with_a_hint(plan: FaultPlan) -> None:
    """A misspelt fault is an error that suggests the correct name."""
    with pytest.raises(ProblemError, match=r"did you mean .*poll_500"):
        plan.arm("pol_500")


@pytest.mark.parametrize(("times", "rate"), [(0, 1.0), (None, 0.0), (None, 1.5)])
def test_numbers_out_of_range_are_refused(plan: FaultPlan, times: int | None, rate: float) -> None:
    """`times` must be at least 1, `rate` above 0 and at most 1."""
    with pytest.raises(ProblemError):
        plan.arm("500", times, rate=rate)


def test_applied_faults_are_counted(plan: FaultPlan) -> None:
    """The totals hold how often each fault has applied."""
    picked(plan, "#fault:429x2")
    picked(plan, "#fault:429x2")

    assert plan.totals == {"429": 2}
