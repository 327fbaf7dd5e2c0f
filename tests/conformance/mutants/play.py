"""Plays the suite against a mutant, in a separate process because patches affect all of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.runner import (
    QUIET_S,
    Case,
    CaseResult,
    load_suite,
    run_cases,
    select,
)
from tests.conformance.mutants import MUTANTS, Mutant
from tests.conformance.mutants import channels as _channels
from tests.conformance.mutants import connects as _connects
from tests.conformance.mutants import longpolls as _longpolls
from tests.conformance.mutants import presences as _presences
from tests.conformance.mutants import serializers as _serializers
from tests.conformance.mutants import sockets as _sockets
from tests.serving import serving

# Importing these modules registers their mutants.
MUTANT_MODULES = (_serializers, _sockets, _channels, _presences, _connects, _longpolls)

CASES = load_suite()
_IDLE = ("end/idle", "end/idle-timeout")

_QUIET_S = 0.06
_SPEEDUP = 4.0
_CONCURRENCY = 64


def failures_of(name: str | None) -> dict[str, str]:
    """The cases that a mutant fails, by key, with explanations; None is the unchanged server."""
    logging.disable()  # mutants log errors on purpose
    with pytest.MonkeyPatch.context() as patch:
        found = next((one for one in MUTANTS if one.name == name), None)
        if found is not None:
            found.apply(patch)
        results = asyncio.run(_play(found))
    return {result.case.key: result.explain() for result in results if not result.passed}


async def _play(mutant: Mutant | None) -> list[CaseResult]:
    """Play all cases fast, then unexpected results once more at normal speed.

    On a busy machine, answers can be late at high speed. A real mistake also fails at normal speed.
    """
    if mutant is not None and mutant.waits:
        results = await _play_all(CASES, _SPEEDUP / 2, 0.1)
    else:
        results = await _play_all(select(CASES, without=_IDLE), _SPEEDUP, _QUIET_S)
    unexpected = [
        result.case
        for result in results
        if result.passed == (mutant is not None and mutant.must_fail(result.case))
    ]
    again = {result.case.key: result for result in await _play_all(unexpected, 1.0, QUIET_S)}
    return [again.get(result.case.key, result) for result in results]


async def _play_all(cases: Sequence[Case], speedup: float, quiet_s: float) -> list[CaseResult]:
    async with serving(build_reference_app(speedup=speedup)) as base_url:
        return await run_cases(
            cases, base_url, concurrency=_CONCURRENCY, quiet_s=quiet_s, speedup=speedup
        )
