"""Plays cases against a server, and reports where its answers differ from those of Phoenix.

The server is given by its URL. Each step is played as in the recording: frames are collected until
none has come for 250 ms, then compared in order for each connection. Frames that are wanted may
come later, and all times are longer if the machine or the server is slow, see `pace`.

    results = await run_cases(load_suite(), "http://localhost:4001")
    print(*(result.explain() for result in results if not result.passed), sep="\n")
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from phoenix_compat.conformance.suite.cases import JSON, Action, Case
from phoenix_compat.conformance.suite.catalog import load_suite, load_vectors, select
from phoenix_compat.conformance.suite.connections import UnplayableError
from phoenix_compat.conformance.suite.conversation import Conversation, LogLine
from phoenix_compat.conformance.suite.pace import Pace
from phoenix_compat.conformance.suite.reasons import describe_received, matches, reasons

__all__ = [
    "Case",
    "CaseResult",
    "StepResult",
    "load_suite",
    "load_vectors",
    "matches",
    "run_case",
    "run_cases",
    "select",
]

QUIET_S = 0.25
CONCURRENCY = 32

_FAILURES = (OSError, EOFError, asyncio.LimitOverrunError, ValueError, UnplayableError)
"""The errors that a server or the network can cause while a case is played."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step wanted and got, both in the format of `expect` in the vectors.

    Attributes:
        reasons: one sentence for each difference.
    """

    action: Action
    wanted: Mapping[str, JSON]
    got: Mapping[str, JSON]
    reasons: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether the server answered as Phoenix did."""
        return not self.reasons


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case.

    Attributes:
        case: the case as it was played, with its isolated names.
        steps: the steps that were played.
        error: why the case could not be played to the end, or None.
        log: every action and everything received.
        took_s: the duration in seconds.
    """

    case: Case
    steps: tuple[StepResult, ...]
    error: str | None = None
    log: tuple[LogLine, ...] = ()
    took_s: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every step was played and answered as Phoenix did."""
        return self.error is None and all(step.is_right for step in self.steps)

    @property
    def reasons(self) -> list[str]:
        """Why it failed; each reason begins with the number of its step."""
        found = [
            f"step {number}, {reason}"
            for number, step in enumerate(self.steps, start=1)
            for reason in step.reasons
        ]
        return found if self.error is None else [*found, self.error]

    def explain(self) -> str:
        """The case step by step, with wanted and got where they differ."""
        lines = [f"{'ok' if self.passed else 'FAILED'}: {self.case.key}"]
        for number, step in enumerate(self.steps, start=1):
            lines.append(f"  {'ok  ' if step.is_right else 'WRONG'} {number}. {step.action}")
            if not step.is_right:
                lines += [f"        wanted {line}" for line in describe_received(step.wanted)]
                lines += [f"        got    {line}" for line in describe_received(step.got)]
        if self.error is not None:
            lines.append(f"  STOPPED: {self.error}")
        return "\n".join(lines)


async def run_cases(  # noqa: PLR0913 - the options of a run
    cases: Iterable[Case],
    base_url: str,
    *,
    concurrency: int = CONCURRENCY,
    quiet_s: float = QUIET_S,
    speedup: float = 1.0,
    pace: Pace | None = None,
    on_result: Callable[[CaseResult], None] | None = None,
) -> list[CaseResult]:
    """Play cases, at most `concurrency` at the same time; the results have the order of the cases.

    A case that waits for timeouts of the server and fails is played again alone: among others, on a
    busy machine, the server may have been late through no fault of its own. The second result
    counts.

    Args:
        on_result: called with each result as soon as it is known, in any order.
        quiet_s, speedup: see `run_case`.
        pace: measured before the first case, and watched until the last.
    """
    pace = pace or Pace()
    cases = list(cases)
    semaphore = asyncio.Semaphore(concurrency)
    again: list[int] = []

    async def play(number: int, case: Case, *, is_alone: bool = False) -> CaseResult:
        async with semaphore:
            result = await run_case(case, base_url, quiet_s=quiet_s, speedup=speedup, pace=pace)
        if case.waits and not result.passed and not is_alone:
            again.append(number)
        elif on_result is not None:
            on_result(result)
        return result

    async with pace.watching(base_url):
        async with asyncio.TaskGroup() as group:
            plays = [group.create_task(play(*each)) for each in enumerate(cases)]
        results = [each.result() for each in plays]
        for number in sorted(again):
            results[number] = await play(number, cases[number], is_alone=True)
    return results


async def run_case(
    case: Case,
    base_url: str,
    *,
    quiet_s: float = QUIET_S,
    speedup: float = 1.0,
    pace: Pace | None = None,
) -> CaseResult:
    """Play one case against the server at `base_url` (`http://host:port`, no mount path).

    Args:
        quiet_s: a step is over when nothing has been received for this long; later frames count as
            answers to the next step. Wanted frames that are missing may take eight times as long.
        speedup: the factor by which the waits of the case are shortened, for a server with
            shorter timeouts.
        pace: the factor by which all this is lengthened; 1.0 unless it has been measured.
    """
    case = case.isolated(secrets.token_hex(3))
    conversation = Conversation(base_url, quiet_s, speedup, pace=pace, is_timed=case.waits)
    began_at_s = time.monotonic()
    results: list[StepResult] = []
    error = None
    try:
        for number, step in enumerate(case.steps, start=1):
            is_right = all(result.is_right for result in results)
            wanted = step.wanted.get("frames") if is_right else None  # one loss is waited for once
            is_last = number == len(case.steps)
            got = await conversation.play(step.action, wanted, is_last=is_last)
            differences = tuple(reasons(step.wanted, got, step.unordered))
            results.append(StepResult(step.action, step.wanted, got, differences))
    except _FAILURES as failure:
        error = f"step {len(results) + 1}: {type(failure).__name__}: {str(failure) or 'no answer'}"
    finally:
        await conversation.end()
    took_s = time.monotonic() - began_at_s
    return CaseResult(case, tuple(results), error, tuple(conversation.log), took_s)
