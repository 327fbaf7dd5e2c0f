"""Plays the suite against a mutant, in a separate process because patches affect all of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from zlib import crc32

import pytest

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.judging.timing import ONCE
from phoenix_compat.conformance.suite.runner import (
    Case,
    CaseResult,
    run_cases,
    select,
)
from tests.conformance.mutants import MUTANTS, VARIANTS, Mutant
from tests.conformance.mutants import channels as _channels
from tests.conformance.mutants import connects as _connects
from tests.conformance.mutants import frames as _frames
from tests.conformance.mutants import longpolls as _longpolls
from tests.conformance.mutants import odd_requests as _odd_requests
from tests.conformance.mutants import presences as _presences
from tests.conformance.mutants import serializers as _serializers
from tests.conformance.mutants import sockets as _sockets
from tests.conformance.own_cases import PASSING_ON_AIOHTTP
from tests.serving import serving

# Importing these modules registers their mutants.
MUTANT_MODULES = (
    *(_serializers, _sockets, _channels, _presences, _connects, _longpolls),
    *(_frames, _odd_requests),
)

CASES = PASSING_ON_AIOHTTP
"""Those that the unchanged server fails cannot tell a mutant from it."""
_IDLE = ("end/idle", "end/idle-timeout")

_QUIET_S = 0.06
_SPEEDUP = 4.0
_CONCURRENCY = 64
_SAMPLE = 3
_ATTEMPTS = 3
"""So often what could not be judged on a busy machine is played again."""


def played_by(mutant: Mutant | None, *, is_sample: bool) -> list[Case]:
    """The cases that a mutant plays; None is the unchanged server, which plays all.

    Those that wait for an idle timeout are left out unless the mutant is about them.

    Args:
        is_sample: play those that must fail and a third of the others, another for each mutant.
    """
    if mutant is None:
        return select(CASES, without=_IDLE)
    cases = CASES if mutant.waits else select(CASES, without=_IDLE)
    return [
        case
        for case in cases
        if not is_sample
        or mutant in VARIANTS
        or mutant.must_fail(case)
        or crc32(f"{mutant.name} {case.key}".encode()) % _SAMPLE == 0
    ]


def failures_of(name: str | None, *, is_sample: bool = False) -> dict[str, str]:
    """The cases that a mutant fails, by key, with explanations; None is the unchanged server."""
    logging.disable()  # mutants log errors on purpose
    with pytest.MonkeyPatch.context() as patch:
        found = next((one for one in [*MUTANTS, *VARIANTS] if one.name == name), None)
        if found is not None:
            found.apply(patch)
        results = asyncio.run(_play(found, played_by(found, is_sample=is_sample)))
    return {result.case.key: result.explain() for result in results if not result.passed}


async def _play(mutant: Mutant | None, cases: Sequence[Case]) -> list[CaseResult]:
    """Play the cases fast, then unexpected results at normal speed, as a user's run is judged.

    On a busy machine, answers can be late at high speed. A real mistake also fails at normal speed.
    """

    def is_named(case: Case) -> bool:
        return mutant is not None and mutant.must_fail(case)

    if mutant is not None and mutant.waits:
        results = await _play_fast(cases, _SPEEDUP / 2, 0.1)
    else:
        results = await _play_fast(cases, _SPEEDUP, _QUIET_S)
    final = {result.case.key: result for result in results}
    for _attempt in range(_ATTEMPTS):
        odd = [
            result.case
            for result in final.values()
            if result.passed == is_named(result.case) or result.unjudged is not None
        ]
        if not odd:
            break
        async with serving(build_reference_app()) as base_url:
            again = await run_cases(odd, base_url, is_known=is_named)
        final |= {result.case.key: result for result in again}
        if not any(result.unjudged for result in again):
            break
    return list(final.values())


async def _play_fast(cases: Sequence[Case], speedup: float, quiet_s: float) -> list[CaseResult]:
    async with serving(build_reference_app(speedup=speedup)) as base_url:
        return await run_cases(
            cases,
            base_url,
            concurrency=_CONCURRENCY,
            quiet_s=quiet_s,
            speedup=speedup,
            timing=ONCE,
        )
