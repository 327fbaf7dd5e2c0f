"""Fixtures: the server of the matrix is an ASGI server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from phoenix_compat import Endpoint, asgi
from tests.asgi_serving import SERVERS
from tests.conformance.conftest import ServeEndpoint


@pytest.fixture(params=SERVERS)
async def serve_endpoint(request: pytest.FixtureRequest) -> AsyncIterator[ServeEndpoint]:
    """Start ASGI servers for endpoints, on free ports; each call returns a base URL."""
    async with AsyncExitStack() as servers:

        async def start(endpoint: Endpoint) -> str:
            serving = SERVERS[request.param]
            return await servers.enter_async_context(serving(asgi.app(endpoint)))

        yield start
