"""Long-poll sessions of another node, in two applications of one process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat import Cluster, Endpoint, LongPollOptions, asgi, mount
from phoenix_compat.cluster import Bus
from phoenix_compat.cluster.brokers import BrokerBus
from tests.asgi_serving import serving_uvicorn
from tests.integration.echo_app import OpenChannel
from tests.patience import patient
from tests.polling import HeaderPoller, Poller
from tests.serving import accepting, serving
from tests.unit.cluster.brokers.memory_broker import MemoryBroker, MemoryServer


class Node(NamedTuple):
    """An application, as each node has it."""

    endpoint: Endpoint
    url: str


Joining = Callable[[], AbstractAsyncContextManager[Node]]
"""Starts one more node."""


@asynccontextmanager
async def over_unix_sockets() -> AsyncIterator[Joining]:
    """Nodes in one Cluster."""
    with tempfile.TemporaryDirectory(prefix="phx") as path:

        @asynccontextmanager
        async def node() -> AsyncIterator[Node]:
            endpoint = an_endpoint(None)
            app = web.Application()
            mount(app, endpoint, cluster=Cluster(folder=Path(path) / "bus"))
            async with serving(app) as url:
                yield Node(endpoint, url)

        yield node


@asynccontextmanager
async def over_a_broker() -> AsyncIterator[Joining]:
    """Nodes whose endpoints have a bus."""
    server = MemoryServer()

    @asynccontextmanager
    async def node() -> AsyncIterator[Node]:
        endpoint = an_endpoint(BrokerBus(MemoryBroker(server)))
        app = web.Application()
        mount(app, endpoint)
        async with serving(app) as url:
            yield Node(endpoint, url)

    yield node


@asynccontextmanager
async def over_a_broker_with_asgi() -> AsyncIterator[Joining]:
    """The same under uvicorn."""
    server = MemoryServer()

    @asynccontextmanager
    async def node() -> AsyncIterator[Node]:
        endpoint = an_endpoint(BrokerBus(MemoryBroker(server)))
        async with serving_uvicorn(asgi.app(endpoint)) as url:
            yield Node(endpoint, url)

    yield node


@pytest.fixture(params=[over_unix_sockets, over_a_broker, over_a_broker_with_asgi])
async def joining(request: pytest.FixtureRequest) -> AsyncIterator[Joining]:
    """Each way to connect nodes."""
    async with request.param() as node:
        yield node


def an_endpoint(bus: Bus | None) -> Endpoint:
    """An endpoint, as each node has it."""
    endpoint = Endpoint(secret_key_base="x" * 64, bus=bus)
    endpoint.socket(
        "/socket",
        accepting({"room:*": OpenChannel}),
        longpoll=LongPollOptions(window_s=2.0, max_body_bytes=1_000),
    )
    return endpoint


@pytest.fixture
async def nodes(joining: Joining) -> AsyncIterator[list[Node]]:
    """Two nodes."""
    async with joining() as here, joining() as there:
        yield [here, there]


def elsewhere(poller: Poller, node: Node) -> Poller:
    """The same client, whose requests reach another process."""
    other = type(poller)(node.url)
    other.token = poller.token
    return other


def clients_of_others(endpoint: Endpoint) -> dict[Any, Any]:
    """The clients of requests that have come from the other process."""
    hub: Any = next(
        transport for transport in endpoint._lifetime._transports if hasattr(transport, "polls")
    )
    clients: dict[Any, Any] = hub._others._clients
    return clients


async def eventually(is_true: Callable[[], bool]) -> None:
    """Wait for what happens in the other process."""
    async with asyncio.timeout(patient(10.0)):
        while not is_true():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("client", [Poller, HeaderPoller])
async def test_everything_of_a_session(nodes: list[Node], client: type[Poller]) -> None:
    """Joins, polls and errors are those of the process with the session, wherever the token is."""
    here, there = nodes
    poller = await client.open(here.url)
    other = elsewhere(poller, there)

    await other.join("room:a")
    here.endpoint.broadcast("room:a", "news", {"n": 1})
    news = await other.recv()
    broken = await other.publish(["not", "a", "message"])
    too_long = await other.post("x" * 2_000)
    gone = await other.publish(["1", "2", "room:a", "x", {}])

    assert news == [None, None, "room:a", "news", {"n": 1}]
    assert broken == {"status": 408}
    assert too_long.status == 400
    assert gone == {"status": 410}


async def test_a_poll_whose_client_disconnects(nodes: list[Node]) -> None:
    """The next poll gets what a poll that was forwarded would have got."""
    here, there = nodes
    poller = await Poller.open(here.url)
    other = elsewhere(poller, there)
    await other.join("room:a")

    clients = clients_of_others(here.endpoint)
    async with aiohttp.ClientSession() as client:
        polling = asyncio.create_task(client.get(f"{other.url}&token={other.token}"))
        await eventually(lambda: len(clients) == 1)
        polling.cancel()
    await eventually(lambda: all(client.is_gone for client in clients.values()))
    here.endpoint.broadcast("room:a", "news", {"n": 1})

    assert (await other.recv())[3] == "news"


async def test_a_session_whose_node_has_ended(joining: Joining) -> None:
    """Its client gets 410 and a new session at the node that it reaches."""
    async with joining() as there:
        async with joining() as here:
            poller = await Poller.open(here.url)

        other = elsewhere(poller, there)
        posted = await other.publish(["1", "1", "room:a", "phx_join", {}])
        polled = await other.poll()

    assert posted == {"status": 410}
    assert polled["status"] == 410
    assert polled["token"] != poller.token


async def test_a_session_of_a_node_that_never_was(joining: Joining) -> None:
    """Whatever the name in a token is: the client begins anew."""
    async with joining() as here:
        poller = await Poller.open(here.url)
        for name in ("4." + "x" * 22, f"{2**48}.x", "9" * 30 + ".x", ".x", "x", "-1.x"):
            poller.token = here.endpoint.session_tokens.sign("phx:lp", name)

            assert (await poller.poll())["status"] == 410
