"""Endpoints under uvicorn and hypercorn: what clients see at the end, and what `connect` sees."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from phoenix_compat import Drainer, Endpoint, Limits, Socket, SocketHandler, WebSocketOptions, asgi
from phoenix_compat.conformance.suite.wire_client import encode_frame
from phoenix_compat.result import Result, error, ok
from tests.asgi_serving import SERVERS, serving_uvicorn
from tests.conftest import Dial, Open
from tests.integration.drain_harness import DRAINING, Harness
from tests.integration.echo_app import OpenChannel
from tests.patience import patient
from tests.polling import LP_V2, Poller
from tests.serving import EventLog, accepting
from tests.wire import V2

HANDSHAKE = (
    f"GET {V2} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
).encode()


@pytest.fixture(params=SERVERS)
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Start servers of one kind for endpoints; each call returns a base URL."""
    async with AsyncExitStack() as servers:

        async def start(endpoint: Endpoint) -> str:
            serving = SERVERS[request.param]
            return await servers.enter_async_context(serving(asgi.app(endpoint)))

        yield start


# The end.


async def test_draining(serve: Any, open_wire: Open) -> None:
    """Clients with channels get 1012 in batches, the others 1000; long-poll sessions end."""
    harness = Harness(Drainer(batch_size=1, batch_interval_s=0.2))
    base_url = await serve(harness.endpoint)
    joined = [await open_wire(base_url, f"{V2}&user=u{number}") for number in range(2)]
    for wire in joined:
        await wire.join("room:a")
    idle = await open_wire(base_url)
    session = await Poller.open(base_url, LP_V2)
    await session.post('["1","1","room:a","phx_join",{}]', "application/json")

    closing = asyncio.create_task(harness.endpoint.close())
    codes = [await wire.recv_close() for wire in (*joined, idle)]
    for wire in (*joined, idle):
        await wire.close()
    ended = await harness.ended(3)
    await closing

    assert codes == [1012, 1012, 1000]
    assert {reason for _user, reason, _time in ended} == {DRAINING}
    assert harness.endpoint.connections == 0


async def test_a_server_that_stops(open_wire: Open) -> None:
    """Uvicorn closes websockets itself, all at once with 1012; their channels are drained."""
    harness = Harness()
    async with serving_uvicorn(asgi.app(harness.endpoint)) as base_url:
        wires = [await open_wire(base_url) for _ in range(3)]
        for wire in wires:
            await wire.join("room:a")

    assert [await wire.recv_close() for wire in wires] == [1012] * 3
    assert {reason for _user, reason, _time in await harness.ended(3)} == {DRAINING}
    assert harness.endpoint.connections == 0


async def test_a_server_without_lifespan(open_wire: Open) -> None:
    """Without lifespan events the channels end all the same."""
    harness = Harness()
    async with serving_uvicorn(asgi.app(harness.endpoint), lifespan="off") as base_url:
        wire = await open_wire(base_url)
        await wire.join("room:a")

    assert await wire.recv_close() == 1012
    assert (await harness.ended(1))[0][1] == DRAINING


# Slow clients.


async def test_a_client_that_reads_nothing(serve: Any) -> None:
    """It is closed as too slow, and gone after `close_timeout_s`; others are served."""
    limits = Limits(max_outbox_bytes=500_000, close_timeout_s=0.3)
    endpoint = Endpoint(limits=limits)
    endpoint.socket("/socket", accepting({"room:*": OpenChannel}))
    base_url = await serve(endpoint)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        host, port = base_url.removeprefix("http://").split(":")
        await loop.sock_connect(client, (host, int(port)))
        await loop.sock_sendall(client, HANDSHAKE)
        await loop.sock_recv(client, 4096)
        await loop.sock_sendall(client, encode_frame('["1","1","room:a","phx_join",{}]'))
        async with asyncio.timeout(patient(30.0)):
            while endpoint.connections or not endpoint.counters.slow_clients_closed:
                endpoint.broadcast("room:a", "msg", {"pad": "x" * 100_000})
                await asyncio.sleep(0.005)

    assert endpoint.counters.slow_clients_closed == 1


# Connects.


async def test_connect_info(serve: Any, dial: Dial) -> None:
    """Headers, peer and URI are those that aiohttp's transport has; the query is as sent."""
    log = EventLog()

    class DescribingSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            log.record((params, connect_info))
            return ok()

    endpoint = Endpoint()
    options = WebSocketOptions(path="/:room/websocket", headers=["cookie"])
    endpoint.socket("/socket", DescribingSocket, websocket=options)
    client = await dial(await serve(endpoint))

    response = await client.handshake(
        "/socket/a%2Fb/websocket?vsn=2.0.0&x[y]=1%2B1&room=evil",
        extra=[("X-One", "é"), ("traceparent", "00-a"), ("User-Agent", "me"), ("Cookie", "c=1")],
    )

    params, info = await log.next()
    assert response.status == 101
    assert params == {"vsn": "2.0.0", "x": {"y": "1+1"}, "room": "a%2Fb"}
    assert info["x_headers"] == [("x-one", "é")]
    assert info["trace_context_headers"] == [("traceparent", "00-a")]
    assert info["user_agent"] == "me"
    assert info["headers"] == [("cookie", "c=1")]
    assert info["peer_data"]["address"] == "127.0.0.1"
    assert info["uri"]["scheme"] == "http"
    assert info["uri"]["path"] == "/socket/a%2Fb/websocket"
    assert info["uri"]["query"] == "vsn=2.0.0&x[y]=1%2B1&room=evil"


async def test_an_error_handler_of_starlette(dial: Dial) -> None:
    """A response of Starlette refuses the client."""

    class RefusingSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            return error({"reason": "full"})

    def handler(_scope: Any, reason: Any) -> JSONResponse:
        return JSONResponse(reason, status_code=429, headers={"Retry-After": "5"})

    endpoint = Endpoint()
    endpoint.socket("/socket", RefusingSocket, websocket=WebSocketOptions(error_handler=handler))
    app = Starlette()
    asgi.mount(app, endpoint)
    async with serving_uvicorn(app) as base_url:
        client = await dial(base_url)
        response = await client.handshake(V2)

    assert response.status == 429
    assert response.body == b'{"reason":"full"}'
    assert response.header("retry-after") == "5"


async def test_a_connect_that_raises(serve: Any, dial: Dial) -> None:
    """The client gets 500."""

    class BrokenSocket(SocketHandler):
        def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
            raise RuntimeError("a bug")

    endpoint = Endpoint()
    endpoint.socket("/socket", BrokenSocket)
    client = await dial(await serve(endpoint))

    response = await client.handshake(V2)

    assert response.status == 500
