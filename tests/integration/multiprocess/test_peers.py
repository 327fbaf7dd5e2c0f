"""Requests that one process forwards to another."""

from __future__ import annotations

import asyncio
import gzip
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from phoenix_compat.cluster.unix.receiver import bound_unix_socket
from phoenix_compat.http_server import AppRunner, when_gone
from phoenix_compat.transports.aiohttp.peers import (
    MISDIRECTED,
    PeerGoneError,
    Peers,
    forward_while_connected,
    is_from_peer,
)
from tests.patience import patient
from tests.serving import serving


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="nb-") as name:
        yield Path(name)


async def echo(request: web.Request) -> web.Response:
    """The other process: returns what it received, compressed and with two cookies."""
    if request.path == "/wrong":
        return web.Response(status=MISDIRECTED)
    if request.path == "/die":
        assert request.transport is not None
        request.transport.abort()
    received = [
        f"{request.method} {request.raw_path} {request.host}",
        request.headers.get("X-Some", ""),
        str(is_from_peer(request)),
        (await request.read()).decode(),
    ]
    answer = web.Response(body=gzip.compress("|".join(received).encode()), status=203)
    answer.headers["Content-Encoding"] = "gzip"
    answer.headers.add("Set-Cookie", "a=1")
    answer.headers.add("Set-Cookie", "b=2")
    return answer


@asynccontextmanager
async def front(folder: Path) -> AsyncIterator[str]:
    """Run a process that forwards everything to process 1; yields its URL."""
    async with Peers(0, 2, lambda node: folder / f"{node}.http") as peers:

        async def forward(request: web.Request) -> web.Response:
            assert not is_from_peer(request)
            try:
                return await peers.forward(1, request, await request.read() or None)
            except PeerGoneError as error:
                return web.Response(status=502, text=f"sent: {error.is_sent}")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        async with serving(app) as url:
            yield url


@asynccontextmanager
async def back(folder: Path) -> AsyncIterator[None]:
    """Run process 1."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        listener = await asyncio.to_thread(bound_unix_socket, folder / "1.http")
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


async def test_request_and_response_are_forwarded_unchanged(folder: Path) -> None:
    """Method, raw path, host, headers and body; then status, headers and body of the response."""
    async with (
        back(folder),
        front(folder) as url,
        aiohttp.ClientSession(auto_decompress=False) as http,
    ):
        headers = {"Host": "example.test", "X-Some": "thing", "Content-Encoding": "gzip"}
        body = gzip.compress(b"hello")
        raw = URL(f"{url}/a%20b?c=%2F", encoded=True)
        async with http.put(raw, data=body, headers=headers) as answer:
            echoed = gzip.decompress(await answer.read()).decode()

    assert echoed == "PUT /a%20b?c=%2F example.test|thing|True|hello"
    assert answer.status == 203
    assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert len(answer.headers.getall("Date")) == 1


@pytest.mark.parametrize(
    ("path", "is_there", "is_sent"),
    [("/any", False, False), ("/wrong", True, False), ("/die", True, True)],
)
async def test_an_error_says_whether_the_request_may_have_been_carried_out(
    folder: Path,
    path: str,
    is_there: bool,
    is_sent: bool,
) -> None:
    """Certainly not if no process or the wrong one received it; perhaps if the process died."""
    async with front(folder) as url, aiohttp.ClientSession() as http:
        if is_there:
            async with back(folder), http.post(url + path) as answer:
                text = await answer.text()
        else:
            async with http.post(url + path) as answer:
                text = await answer.text()

    assert (answer.status, text) == (502, f"sent: {is_sent}")


@pytest.mark.parametrize(
    ("name", "owner"),
    [("1.abc", 1), ("0.abc", None), ("2.abc", None), ("abc", None), (".abc", None), ("².a", None)],
)
async def test_a_session_name_identifies_its_process(name: str, owner: int | None) -> None:
    """Only the names of sessions in other existing processes have an owner."""
    async with Peers(0, 2, Path) as peers:  # type: ignore[arg-type] # never asked
        assert peers.owner_of(name) == owner
        assert peers.session_name("abc") == "0.abc"


async def test_a_request_is_given_up_when_its_client_disconnects(folder: Path) -> None:
    """A8: the other process sees it too, and keeps what the client would have missed."""
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        arrived.set()
        await when_gone(request)
        gone.set()
        return web.Response()

    async with Peers(0, 2, lambda node: folder / f"{node}.http") as peers:

        async def forward(request: web.Request) -> web.Response:
            return await forward_while_connected(peers, 1, request, None)

        async with own_server(wait, folder / "1.http"), own_server(forward, folder / "0.http"):
            _, writer = await asyncio.open_unix_connection(folder / "0.http")
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await arrived.wait()

            writer.close()

            async with asyncio.timeout(patient(5.0)):
                await gone.wait()


@asynccontextmanager
async def own_server(handler: Handler, path: Path) -> AsyncIterator[None]:
    """Run our own HTTP server on a Unix socket."""
    app = web.Application()
    app.router.add_get("/", handler)
    runner = AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.UnixSite(runner, path).start()
        yield
    finally:
        await runner.cleanup()
