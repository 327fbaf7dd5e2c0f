"""Plays cases against a server, and reports where its answers differ from those of Phoenix.

The server is given by its URL. Each step is played as in the recording: frames are collected until
none has come for 250 ms, then compared in order for each connection. Frames that are wanted may
come later, and all times are longer if the machine or the server is slow, see `pace`.

    results = await run_cases(load_suite(), "http://localhost:4001")
    print(*(result.explain() for result in results if result.failed), sep="\n")
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial

from phoenix_compat.conformance.suite.cases import Case, Step
from phoenix_compat.conformance.suite.catalog import load_suite, load_vectors, select
from phoenix_compat.conformance.suite.connections import UnplayableError
from phoenix_compat.conformance.suite.conversation import Conversation
from phoenix_compat.conformance.suite.judging.replays import Replays
from phoenix_compat.conformance.suite.judging.results import CaseResult, StepResult
from phoenix_compat.conformance.suite.judging.timing import PATIENT, Timing
from phoenix_compat.conformance.suite.judging.warm_up import warm_up
from phoenix_compat.conformance.suite.pace import Pace
from phoenix_compat.conformance.suite.reasons import matches, reasons

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


async def run_cases(  # noqa: PLR0913 - the options of a run
    cases: Iterable[Case],
    base_url: str,
    *,
    concurrency: int = CONCURRENCY,
    quiet_s: float = QUIET_S,
    speedup: float = 1.0,
    timing: Timing = PATIENT,
    pace: Pace | None = None,
    is_known: Callable[[Case], bool] = lambda _case: False,
    on_result: Callable[[CaseResult], None] | None = None,
) -> list[CaseResult]:
    """Play cases, at most `concurrency` at the same time; the results have the order of the cases.

    First the server is warmed up. At the end each case that failed is played again alone, see
    `judging.replays`: that decides whether it passed, failed, or could not be judged.

    Args:
        quiet_s, speedup: see `run_case`.
        timing: how long to wait, and how often to play again.
        pace: measured before the first case, and watched until the last.
        is_known: cases whose failure accuses no one, because it is expected; not played again.
        on_result: called with each result as soon as it is known, in any order.
    """
    pace = pace or Pace(timing=timing)
    cases = list(cases)
    semaphore = asyncio.Semaphore(concurrency)

    async def play(case: Case, patience: float = 1.0) -> CaseResult:
        return await run_case(
            case, base_url, quiet_s=quiet_s, speedup=speedup, pace=pace, patience=patience
        )

    def is_final(result: CaseResult) -> bool:
        return result.passed or not timing.patience or is_known(result.case)

    async def play_among_others(case: Case) -> CaseResult:
        async with semaphore:
            result = await play(case)
        if on_result is not None and is_final(result):
            on_result(result)
        return result

    await warm_up(base_url)
    async with pace.watching(base_url):
        async with asyncio.TaskGroup() as group:
            plays = [group.create_task(play_among_others(case)) for case in cases]
        results = [each.result() for each in plays]
        replays = Replays(timing, speedup)
        for number, (case, first) in enumerate(zip(cases, results, strict=True)):
            if not is_final(first):
                results[number] = await replays.judge(first, partial(play, case))
                if on_result is not None:
                    on_result(results[number])
    return results


async def run_case(  # noqa: PLR0913 - the options of a play
    case: Case,
    base_url: str,
    *,
    quiet_s: float = QUIET_S,
    speedup: float = 1.0,
    pace: Pace | None = None,
    patience: float = 1.0,
) -> CaseResult:
    """Play one case once against the server at `base_url` (`http://host:port`, no mount path).

    Args:
        quiet_s: a step is over when nothing has been received for this long; later frames count as
            answers to the next step. Wanted frames that are missing may take eight times as long.
            A case that waits beside an idle timeout has the quiet time of the recording.
        speedup: the factor by which the waits of the case are shortened, for a server with
            shorter timeouts.
        pace: the factor by which all this is lengthened; 1.0 unless it has been measured.
        patience: a further factor.
    """
    case = case.isolated(secrets.token_hex(3))
    pace = pace or Pace()
    conversation = Conversation(
        base_url, quiet_s, speedup, pace=pace.times(patience), is_timed=case.is_timed
    )
    began_at_s = time.monotonic()
    steps: list[StepResult] = []
    error, is_timeout = None, False
    with pace.observing() as conditions:
        try:
            for step in case.steps:
                # One loss is waited for once.
                is_right = all(one.is_right for one in steps)
                is_last = step is case.steps[-1]
                steps.append(await _play_step(conversation, step, is_right, is_last))
        except _FAILURES as failure:
            reason = str(failure) or "no answer"
            error = f"step {len(steps) + 1}: {type(failure).__name__}: {reason}"
            is_timeout = isinstance(failure, TimeoutError)
        finally:
            took_s = time.monotonic() - began_at_s
            await conversation.end()
    log = tuple(conversation.log)
    return CaseResult(case, tuple(steps), error, log, took_s, conditions, is_timeout=is_timeout)


async def _play_step(
    conversation: Conversation,
    step: Step,
    is_right: bool,  # noqa: FBT001 - private, and named by its caller
    is_last: bool,  # noqa: FBT001 - the same
) -> StepResult:
    began_at_s = time.monotonic()
    got = await conversation.play(
        step.action,
        step.wanted.get("frames") if is_right else None,
        wanted_answer=step.wanted.get("http") if is_right else None,
        is_last=is_last,
    )
    differences = tuple(reasons(step.wanted, got, step.unordered))
    took_s = time.monotonic() - began_at_s
    return StepResult(step.action, step.wanted, got, differences, took_s)
