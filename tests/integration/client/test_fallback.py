"""Long-poll where a websocket does not work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto

import aiohttp
import pytest
from aiohttp import web

from phoenix_compat.client import Client, ConnectError
from phoenix_compat.conformance.reference import build_reference_app
from tests.conftest import Serve
from tests.integration.client.waiting import Seen, until
from tests.patience import patient

TRIAL_S = 0.3


class Proxy(Enum):
    """What stands between the client and the server, and does to websockets."""

    REFUSES = auto()
    HANGS = auto()
    SWALLOWS = auto()
    """The upgrade works, and then nothing arrives."""


def behind(proxy: Proxy) -> web.Application:
    """The reference channel set behind a proxy."""
    never = asyncio.Event()

    @web.middleware
    async def spoil(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not request.path.endswith("/websocket"):
            return await handler(request)
        if proxy is Proxy.REFUSES:
            raise web.HTTPBadGateway
        if proxy is Proxy.HANGS:
            await never.wait()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _message in socket:
            pass
        return socket

    app = build_reference_app()
    app.middlewares.append(spoil)
    return app


@pytest.fixture(params=Proxy, ids=lambda proxy: proxy.name.lower())
async def url(request: pytest.FixtureRequest, serve: Serve) -> str:
    """A socket that works over long-poll only."""
    return await serve(behind(request.param)) + "/socket"


async def test_it_falls_back(url: str) -> None:
    """The client works, and uses long-poll from then on."""
    async with Client(
        url, long_poll_fallback_s=patient(TRIAL_S), reconnect_after_s=(0.01,)
    ) as client:
        channel = client.channel("room:a")
        joins = Seen(channel.on_join)
        joining = asyncio.ensure_future(channel.join(timeout_s=patient(10.0)))
        await joins.wait_for(1)
        await joining

        assert await channel.push("echo", {"n": 1}) == {"n": 1}
        assert client.transport == "longpoll"
        assert client.counters.fallbacks == 1


async def test_without_the_option_it_does_not(serve: Serve) -> None:
    """The error has the status of the proxy."""
    url = await serve(behind(Proxy.REFUSES))

    with pytest.raises(ConnectError) as raised:
        async with Client(f"{url}/socket"):
            pass

    assert raised.value.status == 502


async def test_a_websocket_that_works_stays(reference_url: str) -> None:
    """Once a heartbeat was answered, there is no fallback any more."""
    async with Client(f"{reference_url}/socket", long_poll_fallback_s=patient(5.0)) as client:
        await until(lambda: not client._connector.may_fall_back)

        assert client.transport == "websocket"
        assert client.counters.fallbacks == 0


@pytest.fixture
async def other_server(serve: Serve) -> str:
    """A server that knows nothing of Phoenix."""
    app = web.Application()

    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app.router.add_route("*", "/socket/longpoll", hello)
    return await serve(app)


async def test_a_server_of_something_else(other_server: str) -> None:
    """The error says so."""
    with pytest.raises(ConnectError, match="not that of a Phoenix long-poll"):
        async with Client(f"{other_server}/socket", transport="longpoll"):
            pass
    with pytest.raises(ConnectError, match="status 404") as raised:
        async with Client(f"{other_server}/socket"):
            pass

    assert raised.value.status == 404


async def test_a_session_of_the_app(reference_url: str) -> None:
    """It is used, and stays open."""
    async with aiohttp.ClientSession() as session:
        for transport in ("websocket", "longpoll"):
            async with Client(
                f"{reference_url}/socket",
                transport=transport,
                session=session,
            ) as client:
                await client.channel("room:a").join()

        assert not session.closed
