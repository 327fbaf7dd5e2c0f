"""Long-poll sessions of another process, in two applications of one process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat import Cluster, Endpoint, LongPollOptions, mount
from tests.integration.echo_app import OpenChannel
from tests.patience import patient
from tests.polling import Poller
from tests.serving import accepting, serving


class Node(NamedTuple):
    """An application, as each process has it."""

    endpoint: Endpoint
    url: str


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    with tempfile.TemporaryDirectory(prefix="phx") as path:
        yield Path(path) / "bus"


@pytest.fixture
async def nodes(folder: Path) -> AsyncIterator[list[Node]]:
    """Two applications with an endpoint each, in one cluster."""
    async with AsyncExitStack() as servers:
        found = []
        for _ in range(2):
            endpoint = Endpoint(secret_key_base="x" * 64)
            endpoint.socket(
                "/socket",
                accepting({"room:*": OpenChannel}),
                longpoll=LongPollOptions(window_s=5.0, max_body_bytes=1_000),
            )
            app = web.Application()
            mount(app, endpoint, cluster=Cluster(folder=folder))
            found.append(Node(endpoint, await servers.enter_async_context(serving(app))))
        yield found


def elsewhere(poller: Poller, node: Node) -> Poller:
    """The same client, whose requests reach another process."""
    other = Poller(node.url)
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


async def test_everything_of_a_session(nodes: list[Node]) -> None:
    """Joins, polls and errors are those of the process with the session."""
    here, there = nodes
    poller = await Poller.open(here.url)
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


async def test_a_session_whose_process_has_ended(folder: Path) -> None:
    """Its client gets 410 and a new session in the process that it reaches."""
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        urls = []
        for servers in (first, second):
            endpoint = Endpoint(secret_key_base="x" * 64)
            endpoint.socket("/socket", accepting({"room:*": OpenChannel}), longpoll=True)
            app = web.Application()
            mount(app, endpoint, cluster=Cluster(folder=folder))
            urls.append(await servers.enter_async_context(serving(app)))
        poller = await Poller.open(urls[0])
        await first.aclose()

        other = Poller(urls[1])
        other.token = poller.token
        posted = await other.publish(["1", "1", "room:a", "phx_join", {}])
        polled = await other.poll()

    assert posted == {"status": 410}
    assert polled["status"] == 410
    assert polled["token"] != poller.token
