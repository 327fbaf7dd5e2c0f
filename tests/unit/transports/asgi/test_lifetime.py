"""ASGI applications of one endpoint: one after the other, in several event loops, in a cluster."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat import Cluster, ConfigError, Endpoint, asgi
from tests.serving import accepting
from tests.unit.transports.asgi.harness import FakeServer, ended, websocket_scope


def an_endpoint(secret: str | None = None) -> Endpoint:
    """An endpoint with one socket."""
    endpoint = Endpoint(secret_key_base=secret)
    endpoint.socket("/socket", accepting({}), longpoll=True)
    return endpoint


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[FakeServer]:
    """Start the application, and shut it down."""
    server = FakeServer()
    server.give("lifespan.startup")
    running = asyncio.create_task(app({"type": "lifespan"}, server.receive, server.send))
    await server.sent_when(1)
    yield server
    server.give("lifespan.shutdown")
    await ended(running)


async def connect(app: Any) -> str:
    """Open a websocket and disconnect; the type of the first event."""
    server = FakeServer()
    server.give("websocket.connect")
    running = asyncio.create_task(app(websocket_scope(), server.receive, server.send))
    first: str = (await server.sent_when(1))[0]["type"]
    server.give("websocket.disconnect", code=1000)
    await ended(running)
    return first


@pytest.mark.parametrize("is_new", [True, False], ids=["new applications", "one application"])
def test_several_event_loops(is_new: bool) -> None:
    """Each event loop serves the endpoint again."""
    endpoint = an_endpoint()
    app = None if is_new else asgi.app(endpoint)

    async def serve() -> str:
        served = app or asgi.app(endpoint)
        async with lifespan(served):
            return await connect(served)

    assert [asyncio.run(serve()) for _ in range(3)] == ["websocket.accept"] * 3
    assert endpoint.connections == 0
    assert endpoint.is_closing


def test_several_event_loops_without_lifespan() -> None:
    """So does the test client of Starlette without `with`."""
    app = asgi.app(an_endpoint())

    assert [asyncio.run(connect(app)) for _ in range(3)] == ["websocket.accept"] * 3


async def test_two_applications_at_once() -> None:
    """The end of one does not close the other."""
    endpoint = an_endpoint()
    first, second = asgi.app(endpoint), asgi.app(endpoint)

    async with lifespan(first):
        async with lifespan(second):
            both = [await connect(app) for app in (first, second)]
        after = [await connect(app) for app in (first, second)]

    assert both == ["websocket.accept"] * 2
    assert after == ["websocket.accept", "websocket.http.response.start"]


async def test_a_start_that_fails_is_told() -> None:
    """The server gets the text of the error; what is only raised, servers ignore."""
    endpoint = an_endpoint()
    app = asgi.app(endpoint)
    endpoint.socket("/late", accepting({}))
    server = FakeServer()
    server.give("lifespan.startup")

    with pytest.raises(ConfigError):
        await app({"type": "lifespan"}, server.receive, server.send)

    (failed,) = server.sent
    assert failed["type"] == "lifespan.startup.failed"
    assert "write endpoint.socket('/late', AcceptingSocket) before mount" in failed["message"]


@pytest.mark.parametrize("has_lifespan", [True, False])
async def test_in_a_cluster(has_lifespan: bool) -> None:
    """The application joins when it starts, or with its first client; it leaves at its end."""
    with tempfile.TemporaryDirectory(prefix="phx") as name:
        cluster = Cluster(folder=Path(name) / "bus")
        app = asgi.app(an_endpoint("x" * 64), cluster=cluster)
        server = FakeServer()
        running = asyncio.create_task(app({"type": "lifespan"}, server.receive, server.send))
        if has_lifespan:
            server.give("lifespan.startup")
            await server.sent_when(1)
            assert cluster.bus is not None

        first = [*await asyncio.gather(connect(app), connect(app))]
        bus = cluster.bus
        server.give("lifespan.shutdown")
        await ended(running)

    assert first == ["websocket.accept"] * 2
    assert bus is not None
    assert cluster.bus is None
