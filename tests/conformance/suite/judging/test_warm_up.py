"""The warm-up meets every mount once, and judges nothing."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.suite.judging import warm_up as warm_up_module
from phoenix_compat.conformance.suite.judging.warm_up import warm_up
from tests.conformance.suite.fake_server import FakeServer, plain
from tests.serving import serving


async def test_every_mount_is_met() -> None:
    """By websocket with joins, and by long-polling with a join and a poll."""
    seen: list[tuple[str, str]] = []

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        seen.append((request.method, request.path))
        return await handler(request)

    app = build_reference_app()
    app.middlewares.append(note)
    async with serving(app) as base_url:
        await warm_up(base_url)

    assert {path for _method, path in seen} == {
        "/socket/websocket",
        "/slow/websocket",
        "/extra/websocket",
        "/socket/longpoll",
        "/slow/longpoll",
        "/extra/longpoll",
    }
    assert seen.count(("POST", "/socket/longpoll")) == seen.count(("POST", "/extra/longpoll")) == 1
    assert seen.count(("GET", "/socket/longpoll")) == 2


@pytest.mark.parametrize("response", [plain(503), b"nothing like HTTP\r\n\r\n", b""])
async def test_whatever_the_server_does_is_ignored(
    response: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals, nonsense and silence; it ends in time, as without a server."""
    monkeypatch.setattr(warm_up_module, "LIMIT_S", 0.2)
    monkeypatch.setattr(warm_up_module, "_QUERY", "vsn=2.0.0")  # so that it is answered as others
    began_s = time.monotonic()

    async with FakeServer(responses=(response,)).run() as base_url:
        await warm_up(base_url)
    await warm_up(base_url)

    assert time.monotonic() - began_s < 5.0
    assert len(asyncio.all_tasks()) == 1
