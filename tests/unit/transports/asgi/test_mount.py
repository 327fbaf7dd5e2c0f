"""Mounting in Starlette and FastAPI: order of routes, middlewares, lifespan, sub-paths."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, NoMatchFound, Route

from phoenix_compat import Cluster, ConfigError, Endpoint, asgi
from tests.serving import accepting
from tests.unit.transports.asgi.harness import FakeServer, ended, http_scope


def an_endpoint() -> Endpoint:
    """An endpoint with one socket, over both transports."""
    endpoint = Endpoint()
    endpoint.socket("/socket", accepting({}), longpoll=True)
    return endpoint


async def body_of(app: Any, path: str, **more: Any) -> bytes:
    """The body of a response."""
    server = FakeServer()
    server.give("http.request")
    async with asyncio.timeout(10):
        await app(http_scope(path, **more), server.receive, server.send)
    body: bytes = b"".join(event.get("body", b"") for event in server.sent)
    return body


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
async def test_the_sockets_come_before_other_routes(kind: Any) -> None:
    """Even before a route for every path, which gets the others."""
    app = kind(routes=[Route("/{path:path}", lambda _request: PlainTextResponse("mine"))])
    asgi.mount(app, an_endpoint())

    session = await body_of(app, "/socket/longpoll")

    assert json.loads(session)["status"] == 410
    assert await body_of(app, "/socket") == b"mine"


async def test_an_application_within_another() -> None:
    """The path before it is not a part of the sockets' paths."""
    app = Starlette()
    asgi.mount(app, an_endpoint())
    outer = Starlette(routes=[Mount("/api", app), Mount("/raw", asgi.app(an_endpoint()))])

    for prefix in ("/api", "/raw"):
        assert json.loads(await body_of(outer, f"{prefix}/socket/longpoll"))["status"] == 410


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
async def test_the_lifespan_of_the_application(kind: Any) -> None:
    """The application's own lifespan goes on; the endpoint is closed before it ends."""
    endpoint = an_endpoint()
    steps: list[Any] = []

    @asynccontextmanager
    async def own(_app: Any) -> AsyncIterator[dict[str, int]]:
        steps.append(("begins", endpoint.is_closing))
        yield {"answer": 42}
        steps.append(("ends", endpoint.is_closing))

    app = kind(lifespan=own)
    asgi.mount(app, endpoint)
    server = FakeServer()
    state: dict[str, Any] = {}
    running = asyncio.create_task(
        app({"type": "lifespan", "state": state}, server.receive, server.send)
    )
    server.give("lifespan.startup")
    await server.sent_when(1)
    server.give("lifespan.shutdown")
    await ended(running)

    assert steps == [("begins", False), ("ends", True)]
    assert state == {"answer": 42}


def test_sockets_have_no_names() -> None:
    """`url_path_for` looks at the other routes."""
    app = Starlette(routes=[Route("/me", lambda _request: PlainTextResponse(""), name="me")])
    asgi.mount(app, an_endpoint())

    assert app.url_path_for("me") == "/me"
    with pytest.raises(NoMatchFound):
        app.url_path_for("you")


@pytest.mark.parametrize(
    ("endpoint", "options", "expected"),
    [
        (Endpoint, {}, "needs an Endpoint, got <class"),
        (None, {}, "needs an Endpoint, got None"),
        (an_endpoint(), {"cluster": Cluster}, r"write cluster=Cluster\(\)"),
        (an_endpoint(), {"cluster": True}, "cluster=True"),
    ],
)
def test_mistakes(endpoint: Any, options: Any, expected: str) -> None:
    """What is not an endpoint or a cluster is refused at once, whatever mounts it."""
    with pytest.raises(ConfigError, match=expected):
        asgi.mount(Starlette(), endpoint, **options)
    with pytest.raises(ConfigError, match=expected):
        asgi.app(endpoint, **options)


@pytest.mark.parametrize("app", [web.Application(), object()])
def test_other_frameworks(app: Any) -> None:
    """The error says what to write instead."""
    with pytest.raises(ConfigError, match=r"Starlette or FastAPI, got \w+; write .*fallback=app"):
        asgi.mount(app, an_endpoint())
