"""Over ASGI the server answers every case as Phoenix 1.8.12 does, except those that ASGI decides.

`expected_failures.txt` lists these with the reasons.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from phoenix_compat.conformance.reference_asgi import build_reference_asgi_app
from phoenix_compat.conformance.suite.expected import ExpectedFailures
from phoenix_compat.conformance.suite.runner import Case, CaseResult, load_suite, run_cases
from tests.asgi_serving import serving_uvicorn

CASES = load_suite()
EXPECTED_FAILURES = ExpectedFailures.read(Path(__file__).with_name("expected_failures.txt"), CASES)


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, CaseResult]:
    """The results of the cases that this run selected, by key."""
    selected = {
        str(item.callspec.id)
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    }
    results = asyncio.run(_play([case for case in CASES if case.key in selected]))
    return {result.case.key: result for result in results}


async def _play(cases: list[Case]) -> list[CaseResult]:
    async with serving_uvicorn(
        build_reference_asgi_app(), ws_per_message_deflate=False
    ) as base_url:
        return await run_cases(cases, base_url, is_known=EXPECTED_FAILURES.names)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.key) for case in CASES])
def test_the_server_answers_as_phoenix(case: Case, verdicts: dict[str, CaseResult]) -> None:
    """The conversation gets the same answers as from Phoenix, unless ASGI decides them."""
    verdict = verdicts[case.key]

    if EXPECTED_FAILURES.names(case):
        assert not verdict.passed, "it passes now: remove it from expected_failures.txt"
    else:
        assert verdict.passed, verdict.explain()
