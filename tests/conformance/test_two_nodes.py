"""Two nodes on a bus, behind a proxy that sends each connection and request to the other, answer as
Phoenix does: the clients of a case are at different nodes, and polls reach the wrong one."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from phoenix_compat import Endpoint, RedisBus
from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.runner import run_cases
from tests.conformance.own_cases import PASSING_ON_AIOHTTP
from tests.integration.cluster.in_turn import InTurn
from tests.serving import serving

ALL = ""
CROSSING = ("broadcast", "presence", "join", "message")


@pytest.mark.parametrize(
    "areas", [CROSSING, pytest.param((ALL,), marks=pytest.mark.long)], ids=["short", "all"]
)
async def test_two_nodes_answer_as_phoenix(
    areas: tuple[str, ...], redis_url: str, tmp_path: Path
) -> None:
    """Every case in which one node answers as Phoenix, over both transports."""
    cases = [case for case in PASSING_ON_AIOHTTP if case.key.startswith(areas)]
    secret, prefix = secrets.token_urlsafe(48), f"c{secrets.token_hex(6)}"
    async with AsyncExitStack() as stack:
        urls = []
        for _ in range(2):
            bus = RedisBus(redis_url, prefix=prefix)
            app = build_reference_app(endpoint=Endpoint(secret_key_base=secret, bus=bus))
            urls.append(await stack.enter_async_context(serving(app)))
        nginx = await stack.enter_async_context(InTurn.before(tmp_path / "nginx", *urls))
        results = await run_cases(cases, nginx.url)
        reached = nginx.reached()

    assert [result.explain() for result in results if not result.passed] == []
    assert len(results) == len(cases) > 50
    assert len(reached) == 2
