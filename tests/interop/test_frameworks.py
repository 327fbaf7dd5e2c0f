"""Tests phoenix.js against aiohttp, Starlette, FastAPI and Django."""

from __future__ import annotations

import pytest

from tests.interop.asgi_apps import FRAMEWORKS
from tests.interop.frameworks import Package, check_scenario
from tests.interop.test_phoenix_js import HERE, Run, node, run

__all__ = ["node", "run"]  # fixtures

pytestmark = pytest.mark.node


@pytest.mark.parametrize("transport", ["websocket", "longpoll"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_whole_scenario(run: Run, framework: str, transport: str) -> None:
    """Refusal, messages, binary, presence, auth token, crash, restart: as with aiohttp."""
    await check_scenario(run, framework, Package(HERE, "phoenix", (1, 8)), transport)
