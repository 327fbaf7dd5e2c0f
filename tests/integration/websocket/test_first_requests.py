"""Handshakes that are answered before aiohttp has the request, and all that is handed to it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import pytest
from aiohttp import web

from phoenix_compat import Endpoint, Socket, SocketHandler, WebSocketOptions, error, mount, ok
from phoenix_compat.accept import Acceptor, Connections, bound_tcp_sockets
from phoenix_compat.accept.acceptor import HandOver
from phoenix_compat.accept.request_deadlines import HttpBounds
from phoenix_compat.conformance.suite.wire_client import WireClient
from phoenix_compat.http_server import AppRunner, HttpServer
from phoenix_compat.result import Result
from phoenix_compat.transports.aiohttp.first_requests import FirstRequests, front_of
from phoenix_compat.transports.aiohttp.gate import FAST_HANDSHAKE, GATE, HandshakeHead, OpenGate
from tests.patience import patient
from tests.serving import accepting, socket_app
from tests.wire import PatientClient

PATH = "/socket/websocket?vsn=2.0.0"
HEAD = (
    f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()
HURRIED = HttpBounds(head_s=0.4, tick_s=0.05)


class Served:
    """A server, and what it did.

    Attributes:
        base_url: its address.
        connections: counts them.
        clients: closes them.
        handed_over: how many connections aiohttp got.
        front: what has the first requests; None if it has nothing to do.
        counters: those of the deadlines.
    """

    def __init__(self, port: int, connections: Connections, runner: AppRunner) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        self.connections = connections
        self.counters = runner.counters
        self.clients = AsyncExitStack()
        self.handed_over = 0
        self.front: FirstRequests | None = None

    async def dial(self) -> WireClient:
        """A client, which is closed before the server."""
        client = await PatientClient.connect(self.base_url)
        self.clients.push_async_callback(client.close)
        return client

    async def reaches(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(patient(10.0)):
            while not condition():  # noqa: ASYNC110 - counters set no event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def served(
    app: web.Application, bounds: HttpBounds | None = None, max_connections: int = 100
) -> AsyncIterator[Served]:
    """Serve an application with whatever front it gets."""
    runner = AppRunner(app, bounds=bounds, shutdown_timeout=1.0)
    await runner.setup()
    try:
        listeners = await bound_tcp_sockets("127.0.0.1", 0)
        connections = Connections(max_connections)
        found = Served(listeners[0].getsockname()[1], connections, runner)
        server = runner.server
        assert isinstance(server, HttpServer)
        make = front_of(app, server)

        def counting(hand_over: HandOver) -> FirstRequests:
            def counted(*arguments: Any) -> None:
                found.handed_over += 1
                hand_over(*arguments)

            assert make is not None
            made = make(counted)
            assert isinstance(made, FirstRequests)
            found.front = made
            return made

        front = None if make is None else counting
        acceptor = Acceptor(listeners, server, connections, (), front)
        async with acceptor, found.clients:
            yield found
    finally:
        await runner.cleanup()


class Counting(SocketHandler):
    """Counts the calls of `connect`, and does what the parameter `do` says."""

    channels: ClassVar[Any] = {}
    calls: ClassVar[list[str]] = []
    may_go_on: ClassVar[asyncio.Event]

    async def connect(self, params: Any, socket: Socket, connect_info: Any) -> Result:
        """See SocketHandler."""
        del socket, connect_info
        do = params.get("do", "")
        self.calls.append(do)
        if do == "wait":
            async with asyncio.timeout(patient(10.0)):  # needs a real task
                await self.may_go_on.wait()
        if do == "fail":
            raise ValueError("asked to")
        return error("no") if do == "refuse" else ok()

    def id(self, socket: Socket) -> str | None:
        """See SocketHandler."""
        del socket
        return None


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Forget the calls of the test before."""
    Counting.calls.clear()
    Counting.may_go_on = asyncio.Event()


async def echoes(client: WireClient) -> bool:
    """Whether a heartbeat is answered."""
    await client.send_frame('[null,"1","phoenix","heartbeat",{}]')
    frame = await client.read_frame()
    return frame is not None and b'"status":"ok"' in frame.payload


async def test_a_handshake_does_not_reach_aiohttp() -> None:
    """Nor does it leave anything behind."""
    async with served(socket_app(accepting({}))) as server:
        client = await server.dial()

        assert (await client.handshake(PATH)).status == 101

        assert await echoes(client)
        assert (server.handed_over, server.connections.open) == (0, 1)
        await client.close()
        await server.reaches(lambda: server.connections.open == 0)
        assert server.front is not None
        assert len(server.front) == 0


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"\x81\x80abcd",
        HEAD.replace(b" HTTP/1.1", b" HTTP/1.0"),
        HEAD.replace(b"GET /", b"GET http://127.0.0.1/"),
        HEAD[:-2] + b"Content-Length: 0\r\n\r\n",
        HEAD[:-2] + b"Expect: 100-continue\r\n\r\n",
        HEAD[:-2] + b"X: " + b"x" * 8_200 + b"\r\n\r\n",
        HEAD[:20],
        HEAD.replace(b"Host: ", b"Host : "),
        HEAD.replace(b"/socket", b"/other"),
        HEAD.replace(b"/socket", b"/s%6fcket"),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01",
    ],
    ids=[
        *("more", "1.0", "absolute", "body", "expect", "long", "half", "malformed", "path"),
        *("escaped", "get", "post", "tls"),
    ],
)
async def test_everything_else_is_as_without_it(sent: bytes) -> None:
    """aiohttp gets the bytes as they came; the answers are the same, but for the time in them."""
    answers = []
    for is_fast in (True, False):
        app = socket_app(accepting({}))
        app[FAST_HANDSHAKE] = is_fast
        async with served(app, HURRIED) as server:
            port = int(server.base_url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(patient(10.0)):
                answers.append((await reader.read(65_536)).partition(b"\r\n")[0])
            writer.close()
            assert server.handed_over == int(is_fast)

    assert answers[0] == answers[1]


async def test_frames_that_come_with_the_request_are_answered() -> None:
    """aiohttp has such a request, and what came after it is not lost."""
    async with served(socket_app(accepting({}))) as server:
        port = int(server.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = WireClient(reader, writer, "127.0.0.1")
        writer.write(HEAD + b"\x89\x80abcd")  # a ping

        assert (await client.read_response()).status == 101
        frame = await client.read_frame()

        assert frame is not None
        assert frame.opcode == 0xA
        await client.close()


async def test_connect_is_called_once_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal and an error are answered by aiohttp, with what `connect` has decided."""
    caplog.set_level(logging.ERROR)
    async with served(socket_app(Counting)) as server:
        for do, status in (("", 101), ("refuse", 403), ("fail", 500)):
            client = await server.dial()
            assert (await client.handshake(f"{PATH}&do={do}")).status == status

        assert Counting.calls == ["", "refuse", "fail"]
        assert server.handed_over == 2
    assert [one.exc_info is not None for one in caplog.records if "Error" in one.message] == [True]


async def test_a_connect_that_waits_holds_nobody_up() -> None:
    """Others get their answer; what the client sends meanwhile is read after it."""
    async with served(socket_app(Counting)) as server:
        waiting, other = await server.dial(), await server.dial()
        answer = asyncio.create_task(waiting.handshake(f"{PATH}&do=wait"))
        await server.reaches(lambda: Counting.calls == ["wait"])
        await waiting.send_frame('[null,"1","phoenix","heartbeat",{}]')

        assert (await other.handshake(PATH)).status == 101

        assert not answer.done()
        Counting.may_go_on.set()
        assert (await answer).status == 101
        frame = await waiting.read_frame()
        assert frame is not None


async def test_a_client_that_leaves_while_connect_waits() -> None:
    """Its connection is freed when `connect` returns."""
    async with served(socket_app(Counting)) as server:
        client = await server.dial()
        await client.send_bytes(HEAD.replace(b"vsn=2.0.0", b"vsn=2.0.0&do=wait"))
        await server.reaches(lambda: Counting.calls == ["wait"])
        await client.close()

        Counting.may_go_on.set()

        await server.reaches(lambda: server.connections.open == 0)


async def test_who_sends_nothing_is_closed_in_time() -> None:
    """Without an answer, and it is counted; so is a head that is not complete, from the start."""
    async with served(socket_app(accepting({})), HURRIED) as server:
        port = int(server.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async with asyncio.timeout(patient(10.0)):
            assert await reader.read(100) == b""

        writer.close()
        await server.reaches(lambda: server.connections.open == 0)
        assert server.counters.late_heads == 1
        assert server.handed_over == 0


async def test_the_end_of_the_server_ends_who_has_sent_nothing() -> None:
    """It does not wait for them."""
    async with served(socket_app(accepting({}))) as server:
        port = int(server.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await server.reaches(lambda: server.connections.open == 1)

    async with asyncio.timeout(patient(10.0)):
        assert await reader.read(100) == b""
    writer.close()
    assert server.connections.open == 0


async def test_a_reset_before_the_request() -> None:
    """The client is forgotten."""
    async with served(socket_app(accepting({}))) as server:
        port = int(server.base_url.rpartition(":")[2])
        client = socket.create_connection(("127.0.0.1", port))
        await server.reaches(lambda: server.connections.open == 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()

        await server.reaches(lambda: server.connections.open == 0)


@web.middleware
async def _middleware(request: web.Request, handler: Any) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    return response


def _with_middleware(app: web.Application) -> None:
    app.middlewares.append(_middleware)


def _switched_off(app: web.Application) -> None:
    app[FAST_HANDSHAKE] = False


@pytest.mark.parametrize("change", [_with_middleware, _switched_off])
async def test_where_aiohttp_has_every_request(change: Callable[[web.Application], None]) -> None:
    """An application with middlewares, or that says so."""
    app = socket_app(accepting({}))
    change(app)
    async with served(app) as server:
        client = await server.dial()
        await client.handshake(PATH)

        assert server.front is None


async def test_a_route_of_the_application_comes_first() -> None:
    """As in aiohttp's router."""

    async def own(_request: web.Request) -> web.Response:
        return web.Response(status=418)

    app = web.Application()
    app.router.add_get("/socket/websocket", own)
    endpoint = Endpoint()
    endpoint.socket("/socket", accepting({}))
    mount(app, endpoint)
    async with served(app) as server:
        client = await server.dial()

        assert (await client.handshake(PATH)).status == 418


@pytest.mark.parametrize(
    "options",
    [
        WebSocketOptions(session=lambda _request: {}),
        WebSocketOptions(connect_info=lambda _request: {}),
        WebSocketOptions(error_handler=lambda _request, _reason: web.Response(status=418)),
    ],
    ids=["session", "connect_info", "error_handler"],
)
async def test_functions_that_want_the_request_get_it(options: WebSocketOptions) -> None:
    """Only the socket that has them goes the long way."""
    endpoint = Endpoint()
    endpoint.socket("/plain", accepting({}))
    app = socket_app(accepting({}), options, endpoint=endpoint)
    async with served(app) as server:
        client, other = await server.dial(), await server.dial()

        assert (await client.handshake(PATH)).status == 101
        assert (await other.handshake("/plain/websocket?vsn=2.0.0")).status == 101

        assert server.handed_over == 1


async def test_a_gate_sends_requests_through_the_middlewares() -> None:
    """What it does not let pass is seen by them."""

    class Picky(OpenGate):
        def attempt(self, head: HandshakeHead) -> OpenGate | None:  # type: ignore[override]
            """See Gate."""
            return None if head.headers.get("X-Odd") else self

    app = socket_app(accepting({}))
    _with_middleware(app)
    app[GATE] = Picky()
    async with served(app) as server:
        client, other = await server.dial(), await server.dial()

        assert (await client.handshake(PATH)).status == 101
        assert (await other.handshake(PATH, extra=[("X-Odd", "1")])).status == 101

        assert server.handed_over == 1


async def test_an_endpoint_that_is_closed_refuses() -> None:
    """503, by the usual way."""
    app = web.Application()
    endpoint = Endpoint()
    endpoint.socket("/socket", Counting)
    mount(app, endpoint)
    async with served(app) as server:
        client = await server.dial()
        answer = asyncio.create_task(client.handshake(f"{PATH}&do=wait"))
        await server.reaches(lambda: Counting.calls == ["wait"])
        await endpoint.close()
        Counting.may_go_on.set()

        assert (await answer).status == 503
