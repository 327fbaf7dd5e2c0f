"""What Phoenix 1.8.12 was recorded to answer, this server answers: one test per recorded case.

All cases are played once, many at a time; each test then reads the verdict over its own.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.runner import Case, CaseResult, load_vectors, run_cases
from tests.serving import serving

CASES = load_vectors()


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, CaseResult]:
    """The verdicts over the cases that this run selected."""
    selected = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    }
    cases = [case for case in CASES if case.name in selected]
    return {result.name: result for result in asyncio.run(_play(cases))}


async def _play(cases: list[Case]) -> list[CaseResult]:
    """Play all at once: cases that broadcast on a server of their own, the rest on one."""
    quiet = [case for case in cases if not case.is_heard_by_others()]
    loud = [case for case in cases if case.is_heard_by_others()]
    async with AsyncExitStack() as servers:
        plays = []
        for group in (quiet, *([case] for case in loud)):
            base_url = await servers.enter_async_context(serving(build_reference_app()))
            plays.append(run_cases(group, base_url, concurrency=32))
        return [result for results in await asyncio.gather(*plays) for result in results]


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_the_server_answers_as_phoenix(name: str, verdicts: dict[str, CaseResult]) -> None:
    """The recorded conversation, played again, gets the recorded answers."""
    verdict = verdicts[name]

    assert verdict.passed, verdict.explain()
