"""This server answers every case as Phoenix 1.8.12 does, except where it differs on purpose.

`expected_failures.txt` lists these with the reasons. There is one test for each case and transport;
all cases are played once and concurrently; each test then checks the result of its case. Those that
open websockets in other ways than usual are played again with handshakes that aiohttp answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import pytest
from aiohttp import web

from phoenix_compat.accept.accepted import duplicate
from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.runner import Case, CaseResult, run_cases
from phoenix_compat.protocol.frame import apply_mask
from phoenix_compat.transports.aiohttp import connection, poller
from tests.conformance.own_cases import CASES, DECOMPRESSED, EXPECTED_FAILURES, PASSING
from tests.serving import serving, serving_fast

Way: TypeAlias = Callable[[web.Application], AbstractAsyncContextManager[str]]


HANDSHAKES = [case for case in PASSING if case.id.startswith("connect/")]
WEBSOCKETS = [
    case for case in PASSING if case.transport == "websocket" and not case.id.startswith("end/idle")
]


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, CaseResult]:
    """The results of the cases that this run selected, by key."""
    selected = {
        str(item.callspec.id)
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and hasattr(item, "callspec")
    }
    results = asyncio.run(_play([case for case in CASES if case.key in selected], serving_fast))
    return {result.case.key: result for result in results}


async def _play(cases: list[Case], way: Way) -> list[CaseResult]:
    async with way(build_reference_app()) as base_url:
        return await run_cases(cases, base_url)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.key) for case in CASES])
def test_the_server_answers_as_phoenix(case: Case, verdicts: dict[str, CaseResult]) -> None:
    """The conversation gets the same answers as from Phoenix, unless it is listed."""
    verdict = verdicts[case.key]

    if EXPECTED_FAILURES.names(case):
        assert verdict.failed, "it passes now: remove it from expected_failures.txt"
    else:
        assert verdict.passed, verdict.explain()


async def test_aiohttp_answers_handshakes_as_phoenix() -> None:
    """Without fast handshakes the answers are the same."""
    results = await _play(HANDSHAKES, serving)

    assert not [result.explain() for result in results if not result.passed]


async def test_nothing_private_of_others_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp's C routine for masks and the socket of asyncio's transport are only faster."""
    monkeypatch.setattr(connection, "websocket_mask", apply_mask)
    monkeypatch.setattr(poller, "_detach_socket", lambda _transport, shared: duplicate(shared))

    results = await _play(WEBSOCKETS, serving)

    assert not [result.explain() for result in results if not result.passed]


async def test_a_server_that_decompresses_bodies_fails_the_case_that_tests_it() -> None:
    """aiohttp's own server would read a compressed body otherwise than Phoenix does."""
    results = await _play(DECOMPRESSED, serving)

    assert [result.failed for result in results] == [True]
