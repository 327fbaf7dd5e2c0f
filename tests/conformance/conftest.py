"""The fixtures of the matrix: a cell, the channels, and clients of that cell or another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from phoenix_compat import Endpoint
from tests.clients import CELLS, Cell, MatrixClient
from tests.conformance.reference_channels import SharedState, matrix_app
from tests.conftest import Serve

Connect = Callable[..., Awaitable[MatrixClient]]


@pytest.fixture(params=CELLS, ids=str)
def cell(request: pytest.FixtureRequest) -> Cell:
    """A transport and a version."""
    found: Cell = request.param
    return found


@pytest.fixture
def endpoint() -> Endpoint:
    """The endpoint under test."""
    return Endpoint()


@pytest.fixture
async def shared(endpoint: Endpoint) -> SharedState:
    """What the channels under test share."""
    return SharedState(endpoint)


@pytest.fixture
async def connect(serve: Serve, cell: Cell, shared: SharedState) -> AsyncIterator[Connect]:
    """Connect clients, of the test's cell unless another is named; dropped when the test ends."""
    base_url = await serve(matrix_app(shared))
    async with AsyncExitStack() as clients:

        async def connect_one(other: Cell | None = None, query: str = "") -> MatrixClient:
            client = await MatrixClient.connect(base_url, other or cell, query)
            clients.push_async_callback(client.drop)
            return client

        yield connect_one


@pytest.fixture
async def client(connect: Connect) -> MatrixClient:
    """A client of the test's cell, not yet in any channel."""
    return await connect()
