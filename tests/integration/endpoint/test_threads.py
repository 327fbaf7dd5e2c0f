"""Broadcasts from a thread are refused, and harm nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from phoenix_compat import Endpoint, Guest, Presence, WrongThreadError, asgi, mount
from tests.asgi_serving import serving_uvicorn
from tests.conftest import Open
from tests.integration.echo_app import OpenChannel
from tests.serving import accepting, serving

Broadcast = Callable[[Endpoint], object]


def a_subscriber(broadcast: object) -> None:
    """Subscribed to nothing."""


@pytest.fixture
def endpoint() -> Endpoint:
    """An endpoint whose channels accept every join."""
    endpoint = Endpoint()
    endpoint.socket("/socket", accepting({"room:*": OpenChannel}))
    return endpoint


def app_of(endpoint: Endpoint) -> web.Application:
    app = web.Application()
    mount(app, endpoint)
    return app


@pytest.mark.parametrize(
    "broadcast",
    [
        lambda endpoint: endpoint.broadcast("room:a", "said", {"n": 1}),
        lambda endpoint: endpoint.broadcast_from(a_subscriber, "room:a", "said", {"n": 1}),
        lambda endpoint: endpoint.local_broadcast("room:a", "said", {"n": 1}),
        lambda endpoint: endpoint.local_broadcast_from(a_subscriber, "room:a", "said", {"n": 1}),
        lambda endpoint: endpoint.pubsub.broadcast("room:a", "said", {"n": 1}),
    ],
    ids=["broadcast", "broadcast_from", "local", "local_from", "pubsub"],
)
async def test_a_broadcast_from_a_thread(
    endpoint: Endpoint, open_wire: Open, broadcast: Broadcast
) -> None:
    """The thread is told what to write, and the topic goes on."""
    async with serving(app_of(endpoint)) as url:
        wire = await open_wire(url)
        await wire.join("room:a")

        with pytest.raises(WrongThreadError, match="call_soon_threadsafe"):
            await asyncio.to_thread(broadcast, endpoint)
        endpoint.broadcast("room:a", "said", {"n": 2})

        assert await wire.recv() == [None, None, "room:a", "said", {"n": 2}]


async def test_an_event_loop_in_a_thread(endpoint: Endpoint, open_wire: Open) -> None:
    """A loop of its own does not make a thread the right one."""

    async def broadcast() -> None:
        endpoint.broadcast("room:a", "said", {"n": 1})

    async with serving(app_of(endpoint)) as url:
        wire = await open_wire(url)
        await wire.join("room:a")

        with pytest.raises(WrongThreadError):
            await asyncio.to_thread(asyncio.run, broadcast())
        await wire.fence()


async def test_the_ways_that_the_error_names(endpoint: Endpoint, open_wire: Open) -> None:
    """An `async def` route may broadcast, and a thread by `call_soon_threadsafe`."""
    loop = asyncio.get_running_loop()

    async def route(request: Request) -> Response:
        endpoint.broadcast("room:a", "said", {"by": "route"})
        return PlainTextResponse()

    def thread(request: Request) -> Response:
        loop.call_soon_threadsafe(endpoint.broadcast, "room:a", "said", {"by": "thread"})
        return PlainTextResponse()

    app = Starlette()
    app.add_route("/route", route)
    app.add_route("/thread", thread)
    asgi.mount(app, endpoint)
    async with serving_uvicorn(app) as url:
        wire = await open_wire(url)
        await wire.join("room:a")
        async with aiohttp.ClientSession() as http:
            for path in ("/route", "/thread"):
                async with http.get(url + path) as response:
                    assert response.status == 200

        assert [message[4] for message in await wire.recv_many(2)] == [
            {"by": "route"},
            {"by": "thread"},
        ]


async def test_presence_in_a_thread(endpoint: Endpoint, open_wire: Open) -> None:
    """A change is refused before it is made; who is here can be read, and no diff is lost."""
    presence = Presence(endpoint)
    guest = Guest("room:a")
    async with serving(app_of(endpoint)) as url:
        wire = await open_wire(url)
        await wire.join("room:a")
        changes: list[Callable[[], object]] = [
            lambda: presence.track(guest, "ann", {}),
            lambda: presence.update(guest, "ann", {}),
            lambda: presence.untrack(guest, "ann"),
        ]
        for change in changes:
            with pytest.raises(WrongThreadError, match="presence"):
                await asyncio.to_thread(change)
        before = await asyncio.to_thread(presence.list, "room:a")

        presence.track(guest, "ann", {})
        thread = threading.Thread(target=lambda: seen.append(presence.list("room:a")))
        seen: list[object] = []
        thread.start()
        thread.join()  # the diff still waits for the end of the tick

        assert (await wire.recv())[3:] == [
            "presence_diff",
            {"joins": presence.list("room:a"), "leaves": {}},
        ]
        assert (before, seen) == ({}, [presence.list("room:a")])


def test_an_endpoint_that_serves_nobody(endpoint: Endpoint) -> None:
    """Without clients there is no event loop to be in: programs and tests may broadcast."""
    said: list[object] = []
    endpoint.subscribe("room:a", said.append)

    endpoint.broadcast("room:a", "said", {"n": 1})

    assert len(said) == 1
