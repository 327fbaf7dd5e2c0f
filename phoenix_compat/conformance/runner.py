"""Plays recorded conversations against a server and says exactly where its answers differ.

It knows the server only by its URL. It judges as the recording was made: a step is played, frames
are collected until none came for 250 ms, and compared per connection and in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from phoenix_compat.conformance.cases import (
    JSON,
    Action,
    Case,
    compact_json,
    load_vectors,
    shorten,
)
from phoenix_compat.conformance.conversation import Conversation, UnplayableError

__all__ = ["Case", "CaseResult", "StepResult", "load_vectors", "matches", "run_case", "run_cases"]

QUIET_S = 0.25


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step wanted and got, both in the form of the vectors' `expect`."""

    action: Action
    wanted: Mapping[str, JSON]
    got: Mapping[str, JSON]

    @property
    def is_right(self) -> bool:
        """Whether the server answered as Phoenix did."""
        return matches(self.wanted, self.got)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The verdict over one case.

    Attributes:
        steps: the steps that were played.
        error: why the case could not be played to its end, or None.
    """

    name: str
    steps: tuple[StepResult, ...]
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every step was played and answered as Phoenix did."""
        return self.error is None and all(step.is_right for step in self.steps)

    def explain(self) -> str:
        """The case told step by step, with wanted and got where they differ."""
        lines = [f"{'ok' if self.passed else 'FAILED'}: {self.name}"]
        for number, step in enumerate(self.steps, start=1):
            lines.append(f"  {'ok  ' if step.is_right else 'WRONG'} {number}. {step.action}")
            if not step.is_right:
                lines += [f"        wanted {line}" for line in _describe(step.wanted)]
                lines += [f"        got    {line}" for line in _describe(step.got)]
        if self.error is not None:
            lines.append(f"  STOPPED: {self.error}")
        return "\n".join(lines)


def matches(wanted: JSON, got: JSON) -> bool:
    """Whether two JSON values are the same: keys in any order, `1`, `1.0` and `true` all different.

    `"<any>"` among the wanted matches any value but null.
    """
    if wanted == "<any>":
        return got is not None
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        return wanted.keys() == got.keys() and all(matches(wanted[key], got[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(matches, wanted, got))
    return type(wanted) is type(got) and bool(wanted == got)


async def run_cases(
    cases: Iterable[Case], base_url: str, *, concurrency: int = 8, quiet_s: float = QUIET_S
) -> list[CaseResult]:
    """Play many cases, at most `concurrency` at a time; results come in the order of the cases.

    Cases that broadcast on a topic others use are played alone, after the rest.
    """
    cases = list(cases)
    places = asyncio.Semaphore(concurrency)

    async def play(case: Case) -> CaseResult:
        async with places:
            return await run_case(case, base_url, quiet_s=quiet_s)

    independent = [case for case in cases if not case.is_heard_by_others()]
    results = await asyncio.gather(*map(play, independent))
    results += [await play(case) for case in cases if case.is_heard_by_others()]
    by_name = {result.name: result for result in results}
    return [by_name[case.name] for case in cases]


async def run_case(case: Case, base_url: str, *, quiet_s: float = QUIET_S) -> CaseResult:
    """Play one case against the server at `base_url` (`http://host:port`, no mount path)."""
    conversation = Conversation(base_url, quiet_s)
    results: list[StepResult] = []
    error = None
    try:
        for step in case.steps:
            got = await conversation.play(step.action)
            results.append(StepResult(step.action, step.wanted, got))
    except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, UnplayableError) as failure:
        error = f"step {len(results) + 1}: {type(failure).__name__}: {failure}"
    finally:
        await conversation.end()
    return CaseResult(case.name, tuple(results), error)


def _describe(heard: Mapping[str, JSON]) -> Iterable[str]:
    if not heard:
        yield "nothing"
    for part in ("open", "http"):
        if part in heard:
            yield f"{part}: {shorten(compact_json(heard[part]), 600)}"
    for conn, frames in sorted(heard.get("frames", {}).items()):
        for frame in frames:
            yield f"{conn}: {shorten(compact_json(frame), 600)}"
