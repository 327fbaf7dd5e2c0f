"""This server answers every case as Phoenix 1.8.12 does: one test for each case and transport.

All cases are played once and concurrently; each test then checks the result of its case.
"""

from __future__ import annotations

import asyncio

import pytest

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.runner import Case, CaseResult, load_suite, run_cases
from tests.serving import serving

CASES = load_suite()


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, CaseResult]:
    """The results of the cases that this run selected, by key."""
    selected = {
        item.callspec.params["key"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    }
    results = asyncio.run(_play([case for case in CASES if case.key in selected]))
    return {result.case.key: result for result in results}


async def _play(cases: list[Case]) -> list[CaseResult]:
    async with serving(build_reference_app()) as base_url:
        return await run_cases(cases, base_url)


@pytest.mark.parametrize("key", [case.key for case in CASES])
def test_the_server_answers_as_phoenix(key: str, verdicts: dict[str, CaseResult]) -> None:
    """The conversation gets the same answers as from Phoenix."""
    verdict = verdicts[key]

    assert verdict.passed, verdict.explain()
