"""S8: requests that do not go on and answers that nobody takes end within their bounds."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from phoenix_compat.accept import Acceptor, Connections, bound_tcp_sockets
from phoenix_compat.accept.request_deadlines import BoundCounters, HttpBounds
from phoenix_compat.http_server import AppRunner, HttpServer
from phoenix_compat.transports.aiohttp.first_requests import front_of
from tests.integration.hardening.slow_client import Ended, dripped, without_end
from tests.patience import patient
from tests.serving import accepting, socket_app

BOUNDS = HttpBounds(
    head_s=0.5, body_s=0.7, idle_s=1.0, send_s=0.9, body_bytes_per_s=10_000, tick_s=0.05
)
CALM = replace(BOUNDS, head_s=2.0, idle_s=2.0, send_s=2.0)
"""For clients that go on: a busy machine may stop them for a while."""
HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
GET = HEAD + b"\r\n"
POST = b"POST /length HTTP/1.1\r\nHost: a\r\n"
LONG = POST + b"Content-Length: 1000\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BIG_BYTES = 30_000_000
EARLY_S = 0.02
"""A deadline is kept by the server's clock; ours began to count a little earlier or later."""


@dataclass(frozen=True)
class Served:
    """A server with hurried bounds."""

    address: tuple[str, int]
    counters: BoundCounters
    connections: Connections

    async def drip(self, begin: bytes, drops: Iterable[bytes] = (), every_s: float = 0.1) -> Ended:
        """What becomes of a slow client."""
        return await dripped(self.address, begin, drops, every_s, limit_s=patient(15.0))

    async def all_closed(self) -> None:
        """Wait until no connection is left."""
        async with asyncio.timeout(patient(15.0)):
            while self.connections.open:  # noqa: ASYNC110 - counters set no event
                await asyncio.sleep(0.01)


async def _hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def _length(request: web.Request) -> web.Response:
    return web.Response(text=str(len(await request.read())))


async def _slow(_request: web.Request) -> web.Response:
    await asyncio.sleep(3 * BOUNDS.head_s)
    return web.Response(text="slow")


async def _some(_request: web.Request) -> web.Response:
    return web.Response(body=b"x" * (BIG_BYTES // 300))


async def _big(_request: web.Request) -> web.Response:
    return web.Response(body=b"x" * BIG_BYTES)


@asynccontextmanager
async def served(bounds: HttpBounds, file: Path | None = None) -> AsyncIterator[Served]:
    app = socket_app(accepting({}))  # so that handshakes are looked for in what comes first
    app.router.add_get("/", _hello)
    app.router.add_post("/length", _length)
    app.router.add_get("/slow", _slow)
    app.router.add_get("/some", _some)
    app.router.add_get("/big", _big)
    if file is not None:

        async def show_file(_request: web.Request) -> web.FileResponse:
            return web.FileResponse(file)

        app.router.add_get("/file", show_file)
    runner = AppRunner(app, bounds=bounds, shutdown_timeout=1.0)
    await runner.setup()
    try:
        listeners = await bound_tcp_sockets("127.0.0.1", 0)
        connections = Connections(1_000)
        server = runner.server
        assert isinstance(server, HttpServer)
        front = front_of(app, server)
        assert front is not None
        async with Acceptor(listeners, server, connections, (), front):
            yield Served(listeners[0].getsockname(), runner.counters, connections)
    finally:
        await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served(BOUNDS) as started:
        yield started


@pytest.mark.parametrize(
    ("begin", "drops"),
    [
        (HEAD, ()),
        (HEAD, without_end(b"X: y\r\n")),
        (b"GET /", without_end(b"x")),
        (GET + HEAD, ()),  # in one packet with a request that is complete
        (GET, chain([b"GET /"], without_end(b"x"))),
        (LONG.replace(b"1000", b"2") + b"ab", chain([b"GET /"], without_end(b"x"))),
    ],
    ids=["half", "header by header", "byte by byte", "pipelined", "the second", "after a body"],
)
async def test_a_head_must_be_complete_in_time(
    server: Served, begin: bytes, drops: Iterable[bytes]
) -> None:
    """408, and the connection is closed; what was complete before is answered before."""
    ended = await server.drip(begin, drops)

    assert ended.status == 408
    assert (ended.received.count(b"HTTP/1.1 200") == 1) is begin.startswith((GET, LONG[:20]))
    assert ended.lasted_s >= BOUNDS.head_s - EARLY_S
    assert server.counters.late_heads == 1
    assert server.counters.idle_closed == 0


async def test_a_connection_without_a_request_is_closed(server: Served) -> None:
    """Without an answer: browsers open connections that they may need later."""
    ended = await server.drip(b"")

    assert ended.received == b""
    assert ended.lasted_s >= BOUNDS.head_s - EARLY_S
    assert server.counters.late_heads == 1


async def test_an_idle_connection_is_closed(server: Served) -> None:
    """It is kept longer than half a head, then closed without a word."""
    ended = await server.drip(GET)

    assert ended.received.endswith(b"hello")
    assert ended.lasted_s >= BOUNDS.idle_s - EARLY_S
    assert server.counters == BoundCounters(idle_closed=1)


async def test_an_idle_connection_costs_no_timer() -> None:
    """The event loop keeps cancelled timers, and these keep memory, so there is one for all."""
    loop: Any = asyncio.get_running_loop()
    async with served(HttpBounds()) as server:
        before = len(loop._scheduled)
        clients = [await asyncio.open_connection(*server.address) for _ in range(20)]
        async with asyncio.timeout(patient(15.0)):
            for reader, writer in clients:
                writer.write(GET)
                await reader.readuntil(b"hello")
        timers = len(loop._scheduled) - before
        for _, writer in clients:
            writer.close()

    assert timers < len(clients)  # this test's own are among them


async def test_a_client_that_asks_again_in_time_stays() -> None:
    """Each request has its own time, on one connection for longer than all bounds."""
    requests = [GET[:9], GET[9:]] * 12
    async with served(CALM) as server:
        ended = await server.drip(b"", requests, CALM.head_s / 10)

    assert ended.received.count(b"HTTP/1.1 200") == 12
    assert ended.lasted_s > 2 * CALM.head_s
    assert server.counters == BoundCounters(idle_closed=1)


async def test_a_handler_may_take_its_time(server: Served) -> None:
    """The bounds are for clients: an answer may take longer than any of them."""
    ended = await server.drip(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert ended.status == 200
    assert ended.received.endswith(b"slow")


async def test_a_late_head_behind_a_slow_handler_waits_for_its_answer(server: Served) -> None:
    """The refusal comes after the answer to the request before."""
    drops = chain([b"GET /"], without_end(b"x"))
    ended = await server.drip(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", drops)

    assert ended.received.index(b"slow") < ended.received.index(b"408")


@pytest.mark.parametrize(
    ("begin", "drops"),
    [
        (LONG + b"abc", ()),
        (LONG, without_end(b"x")),
        (CHUNKED, ()),
        (CHUNKED, without_end(b"1\r\na\r\n")),
        (CHUNKED, without_end(b"0")),
        (GET + LONG, without_end(b"x")),
    ],
    ids=["stops", "drips", "no chunk", "small chunks", "chunk size", "pipelined"],
)
async def test_a_body_must_be_complete_in_time(
    server: Served, begin: bytes, drops: Iterable[bytes]
) -> None:
    """408, whether it stops or goes on in drops."""
    ended = await server.drip(begin, drops)

    assert ended.status == 408
    assert ended.lasted_s >= BOUNDS.body_s - EARLY_S
    assert server.counters.late_bodies == 1


async def test_a_body_that_nobody_reads_ends_in_time(server: Served) -> None:
    """The answer is there at once; the rest of the body is waited for no longer than a body."""
    ended = await server.drip(LONG.replace(b"/length", b"/nowhere"), without_end(b"x"))

    assert ended.status == 404
    assert server.counters.late_bodies == 1


@pytest.mark.parametrize("begin", [LONG.replace(b"1000", b"30000"), CHUNKED])
async def test_a_long_body_has_more_time(server: Served, begin: bytes) -> None:
    """A second for so many bytes: it takes longer than the bound of a short one, and arrives."""
    part = b"x" * 1_000
    parts = [b"3e8\r\n" + part + b"\r\n"] * 30 + [b"0\r\n\r\n"] if begin is CHUNKED else [part] * 30

    ended = await server.drip(begin, parts, BOUNDS.body_s / 14)

    assert ended.status == 200
    assert ended.received.endswith(b"30000")
    assert ended.lasted_s > 2 * BOUNDS.body_s
    assert server.counters.late_bodies == 0


@pytest.mark.parametrize("end", [b"\r\n", b""], ids=["complete", "incomplete"])
async def test_a_head_has_a_limit(server: Served, end: bytes) -> None:
    """431 for more than 64 KiB, whether it comes at once or goes on and on."""
    line = b"X: " + b"y" * 4_000 + b"\r\n"

    refused = await server.drip(HEAD + line * 17 + end)
    accepted = await server.drip(HEAD + line * 15 + b"\r\n")

    assert refused.status == 431
    assert refused.lasted_s < BOUNDS.head_s
    assert accepted.received.endswith(b"hello")
    assert server.counters.large_heads == 1


async def test_requests_that_fill_a_packet_are_no_large_head(server: Served) -> None:
    """Many small ones at once are answered, each by itself."""
    many = 10_000  # more than is received at once

    ended = await server.drip(GET * many)

    assert ended.received.startswith(b"HTTP/1.1 200")
    assert server.counters == BoundCounters(idle_closed=1)


def deaf_client(address: tuple[str, int], request: bytes) -> socket.socket:
    """A client that asks and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
    client.connect(address)
    client.sendall(request)
    return client


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        GET.replace(b"/", b"/some", 1) * 300,
        b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["big", "big and close", "pipelined", "file"],
)
async def test_an_answer_that_nobody_takes_is_dropped(tmp_path: Path, request_: bytes) -> None:
    """The connection is closed, however the answer is written."""
    file = tmp_path / "big"
    file.write_bytes(b"x" * BIG_BYTES)
    async with served(BOUNDS, file) as server:
        deaf = [deaf_client(server.address, request_) for _ in range(3)]
        begun_s = time.monotonic()
        await asyncio.sleep(0.2)
        was_open = server.connections.open

        await server.all_closed()

        lasted_s = time.monotonic() - begun_s
        for client in deaf:
            client.close()
    assert was_open == 3
    assert lasted_s >= BOUNDS.send_s - EARLY_S
    assert server.counters.unread_closed == 3


@pytest.mark.parametrize("path", ["/big", "/file"])
async def test_a_slow_download_goes_on(tmp_path: Path, path: str) -> None:
    """It takes more than twice the bound, with a little at a time."""
    file = tmp_path / "big"
    file.write_bytes(b"x" * BIG_BYTES)
    async with served(CALM, file) as server:
        begun_s = time.monotonic()
        client = deaf_client(server.address, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        received = 0
        while time.monotonic() - begun_s < 2.5 * CALM.send_s:
            received += len(await loop.sock_recv(client, 30_000))
            await asyncio.sleep(CALM.send_s / 25)
        while received < BIG_BYTES:
            async with asyncio.timeout(patient(5.0)):
                data = await loop.sock_recv(client, 2_000_000)
            assert data, f"closed after {received} bytes"
            received += len(data)
        client.close()

    assert server.counters.unread_closed == 0


async def test_silent_clients_that_take_all_places_are_gone_in_time() -> None:
    """A full server is open again after the bound of a head, whatever they do."""
    async with served(BOUNDS) as server:
        server.connections.max_connections = 20
        begins = [b"", HEAD, GET, LONG]
        crowd = [asyncio.create_task(server.drip(begins[number % 4])) for number in range(20)]
        async with asyncio.timeout(patient(5.0)):
            while not server.connections.is_full:  # noqa: ASYNC110 - counters set no event
                await asyncio.sleep(0.01)
        refused = await server.drip(GET)
        await asyncio.gather(*crowd)

        served_again = await server.drip(GET)

    assert refused.status == 503
    assert served_again.received.endswith(b"hello")
