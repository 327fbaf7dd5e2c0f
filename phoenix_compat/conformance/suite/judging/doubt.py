"""Says when a difference proves nothing, because machine or server were too slow to tell.

A wrong frame is wrong however late it comes. Two kinds of differences depend on time:

- Something is missing. That proves something if it was waited for many times as long as the server
  took to answer meanwhile.
- A connection ended, or did not, by the server's own clock, such as that of an idle timeout, which
  does not wait for a slow machine. That proves something only if nothing was late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from phoenix_compat.conformance.suite.cases import JSON
from phoenix_compat.conformance.suite.judging.results import CaseResult, StepResult
from phoenix_compat.conformance.suite.reasons import is_incomplete, misses_messages

SILENCE_ANSWERS: Final = 8.0
"""Silence means something if it is this many times as long as the slowest answer meanwhile."""

CLOCK_PARTS: Final = 16.0
"""A case with a clock may be late by this part of it; the tightest leaves a tenth of the clock."""

_ENDS: Final = {"close", "gone", "violation"}
_END_STATUS: Final = (204, 408, 410)
"""What a poll or a POST of an ended session is answered, or one that waits for its window."""


def doubt(result: CaseResult, speedup: float = 1.0) -> str | None:
    """Why a failure proves nothing; None if it does, or if the case passed.

    Args:
        speedup: the factor by which the server's timeouts are shorter than those of the set.
    """
    if result.passed:
        return None
    return _clock_doubt(result, speedup) or _silence_doubt(result)


def _clock_doubt(result: CaseResult, speedup: float) -> str | None:
    clock_s = result.case.server_clock_s
    if clock_s is None or not _is_about_an_end(result):
        return None
    limit_s = clock_s / speedup / CLOCK_PARTS
    if result.conditions.worst_s <= limit_s:
        return None
    return (
        f"the case depends on a timeout of the server ({clock_s / speedup:g} s), and "
        f"{result.conditions.describe()}; up to {limit_s:.2f} s does not matter"
    )


def _is_about_an_end(result: CaseResult) -> bool:
    """Whether the first difference may come from a connection that ended, or should have."""
    for step in result.steps:
        if not step.is_right:
            return _lacks(step) or _has_end(step.wanted) or _has_end(step.got)
    return True  # it could not be played to the end


def _has_end(shown: Mapping[str, JSON]) -> bool:
    frames = [frame for heard in shown.get("frames", {}).values() for frame in heard]
    body = shown.get("http", {}).get("body")
    return any(frame.keys() & _ENDS for frame in frames) or (
        isinstance(body, Mapping) and body.get("status") in _END_STATUS
    )


def _silence_doubt(result: CaseResult) -> str | None:
    waited_s = _silence_s(result)
    if waited_s is None or waited_s >= SILENCE_ANSWERS * result.conditions.worst_s:
        return None
    return (
        f"something is missing after {waited_s:.1f} s, but {result.conditions.describe()}, so "
        "silence means nothing yet"
    )


def _silence_s(result: CaseResult) -> float | None:
    """How long the first missing answer was waited for; None if the first difference is another."""
    for step in result.steps:
        if not step.is_right:
            return step.took_s if _lacks(step) else None
    if not result.is_timeout:
        return None
    return result.took_s - sum(step.took_s for step in result.steps)


def _lacks(step: StepResult) -> bool:
    """Whether a step only lacks something, or found that something was not answered."""
    frames = step.got.get("frames", {})
    return (
        is_incomplete(step.wanted.get("frames", {}), frames)
        or misses_messages(step.wanted.get("http"), step.got.get("http"))
        or any("violation" in frame for heard in frames.values() for frame in heard)
    )
