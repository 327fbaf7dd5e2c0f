"""Which headers protect a browser that shows a response of the task server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.wire_client import HttpResponse
from phoenix_compat.http_server import SAFE_HEADERS
from phoenix_compat.server.http.browsers.response_headers import CONSOLE_POLICY
from phoenix_compat.server.main import open_app
from phoenix_compat.server.process.listening import listening
from tests.integration.task_server import settings_for
from tests.patience import patient
from tests.wire import PatientClient


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server with two routes more: one that crashes, and one with a policy of its own."""

    async def crash(_request: web.Request) -> web.Response:
        raise RuntimeError("a bug")

    async def page(_request: web.Request) -> web.Response:
        return web.Response(headers={"Content-Security-Policy": CONSOLE_POLICY})

    async with open_app(settings_for(tmp_path)) as app:
        app.router.add_get("/crash", crash)
        app.router.add_get("/page", page)
        async with listening(app, "127.0.0.1", 0) as url:
            yield url


async def say(url: str, data: bytes) -> HttpResponse:
    """The answer to some bytes."""
    client = await PatientClient.connect(url)
    try:
        await client.send_bytes(data)
        return await client.read_response()
    finally:
        await client.close()


def check(answer: HttpResponse, policy: str = SAFE_HEADERS["Content-Security-Policy"]) -> None:
    """The headers are there, each once, and aiohttp is not named."""
    expected = {**SAFE_HEADERS, "Content-Security-Policy": policy, "Server": "phoenix_compat"}
    for name, value in expected.items():
        found = [text for header, text in answer.headers if header == name.lower()]
        assert found == [value], (name, answer)
    assert "aiohttp" not in repr(answer).lower()


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/", 405),
        ("GET", "/api/tasks", 200),
        ("GET", "/api/tasks/none", 404),
        ("POST", "/api/tasks", 400),
        ("PUT", "/api/tasks", 405),
        ("GET", "/files/none.png", 404),
        ("GET", "/crash", 500),
    ],
)
async def test_every_response_has_them(url: str, method: str, target: str, status: int) -> None:
    """Whether a handler, the router or aiohttp's own error handling makes it."""
    answer = await exchange(url, method, target, [("Content-Type", "application/json")])

    assert answer.status == status
    check(answer)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: tea\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: \xff\r\n\r\n", 400),
        (b"GET /socket/websocket HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ],
)
async def test_refusals_of_the_parser_have_them(url: str, data: bytes, status: int) -> None:
    """Before there is a request, and when its Host is refused."""
    answer = await say(url, data)

    assert answer.status == status
    check(answer)


async def test_a_page_may_have_a_policy_of_its_own(url: str) -> None:
    """A policy that a handler has set stays; the console's allows no inline script."""
    answer = await exchange(url, "GET", "/page")

    check(answer, CONSOLE_POLICY)
    assert "unsafe" not in CONSOLE_POLICY
    assert "frame-ancestors 'none'" in CONSOLE_POLICY


async def test_a_refused_connection_gets_them(tmp_path: Path) -> None:
    """Beyond `max_connections` the answer is written without aiohttp."""
    settings = settings_for(tmp_path, max_connections=1)
    async with open_app(settings) as app, listening(app, "127.0.0.1", 0) as url:
        holder = await PatientClient.connect(url)
        await holder.send_bytes(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await holder.read_response()

        async with asyncio.timeout(patient(5)):
            answer = await say(url, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await holder.close()

    assert answer.status == 503
    check(answer)
