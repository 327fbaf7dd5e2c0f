"""Fixtures of the matrix: a cell (a transport and a version), channels, and clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from phoenix_compat import Endpoint, mount
from tests.clients import CELLS, Cell, MatrixClient
from tests.conformance.reference_channels import SharedState, matrix_endpoint
from tests.conftest import Serve

Connect = Callable[..., Awaitable[MatrixClient]]
ServeEndpoint = Callable[[Endpoint], Awaitable[str]]


@pytest.fixture(params=CELLS, ids=str)
def cell(request: pytest.FixtureRequest) -> Cell:
    """A transport and a serializer version."""
    found: Cell = request.param
    return found


@pytest.fixture
def endpoint() -> Endpoint:
    """The endpoint under test."""
    return Endpoint()


@pytest.fixture
async def shared(endpoint: Endpoint) -> SharedState:
    """The state that the channels share."""
    return SharedState(endpoint)


@pytest.fixture
def serve_endpoint(serve: Serve) -> ServeEndpoint:
    """Start servers for endpoints, on free ports; each call returns a base URL."""

    async def start(endpoint: Endpoint) -> str:
        app = web.Application()
        mount(app, endpoint)
        return await serve(app)

    return start


@pytest.fixture
async def connect(
    serve_endpoint: ServeEndpoint, cell: Cell, shared: SharedState
) -> AsyncIterator[Connect]:
    """Connect clients, by default of the test's cell; they are dropped when the test ends."""
    base_url = await serve_endpoint(matrix_endpoint(shared))
    async with AsyncExitStack() as clients:

        async def connect_one(other: Cell | None = None, query: str = "") -> MatrixClient:
            client = await MatrixClient.connect(base_url, other or cell, query)
            clients.push_async_callback(client.drop)
            return client

        yield connect_one


@pytest.fixture
async def client(connect: Connect) -> MatrixClient:
    """A client of the test's cell that has not joined a channel."""
    return await connect()
