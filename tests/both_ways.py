"""Serves the applications of a test module both ways: by aiohttp alone, and with fast handshakes.

A module imports the fixture, which takes the place of `serve` in tests/conftest.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import pytest
from aiohttp import web

from tests.conftest import Serve
from tests.serving import serving, serving_fast

_WAYS: Final = {"aiohttp": serving, "fast": serving_fast}


@pytest.fixture(name="serve", params=_WAYS)
async def serve_both_ways(request: pytest.FixtureRequest) -> AsyncIterator[Serve]:
    """Start applications on free ports; each call returns a base URL."""
    way = _WAYS[request.param]
    async with AsyncExitStack() as servers:

        async def start(app: web.Application) -> str:
            return await servers.enter_async_context(way(app))

        yield start
