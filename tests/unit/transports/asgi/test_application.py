"""An endpoint as an ASGI application: paths, refusals, lifespan."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from phoenix_compat import ConfigError, Endpoint, SocketHandler, WebSocketOptions, asgi, error
from tests.serving import accepting
from tests.unit.transports.asgi.harness import (
    FakeServer,
    Harness,
    ended,
    http_scope,
    websocket_scope,
)

UPGRADE = [
    (b"host", b"localhost"),
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
]


def an_endpoint() -> Endpoint:
    """An endpoint with one socket."""
    endpoint = Endpoint()
    endpoint.socket("/socket", accepting({}))
    return endpoint


async def answered(app: Any, scope: dict[str, Any]) -> list[Any]:
    """The events of an application for one request."""
    server = FakeServer()
    server.give("websocket.connect" if scope["type"] == "websocket" else "http.request")
    async with asyncio.timeout(10):
        await app(scope, server.receive, server.send)
    return server.sent


@pytest.mark.parametrize(
    "scope",
    [
        http_scope("/"),
        http_scope("/socket"),
        http_scope("/socket/websocket/more"),
        websocket_scope("/socket/longpoll"),
        websocket_scope("/nope"),
    ],
    ids=lambda scope: f"{scope['type']} {scope['path']}",
)
async def test_other_paths(scope: dict[str, Any]) -> None:
    """They get 404."""
    sent = await answered(Harness().app, scope)

    assert sent[0]["status"] == 404


async def test_the_fallback() -> None:
    """It gets the other paths, and only those."""
    paths: list[str] = []

    async def fallback(scope: Any, _receive: Any, _send: Any) -> None:
        paths.append(scope["path"])

    endpoint = Endpoint()
    endpoint.socket("/socket", accepting({}), longpoll=True)
    app = asgi.app(endpoint, fallback)

    await answered(app, http_scope("/other"))
    await answered(app, websocket_scope("/other"))
    sent = await answered(app, http_scope("/socket/longpoll"))

    assert paths == ["/other", "/other"]
    assert json.loads(sent[1]["body"])["status"] == 410


async def test_other_kinds_of_scopes() -> None:
    """What ASGI does not have yet is an error."""
    with pytest.raises(ValueError, match="'telnet'"):
        await Harness().app({"type": "telnet"}, FakeServer().receive, FakeServer().send)


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ([(b"host", b"localhost")], 400, b"'connection' header must contain 'upgrade'"),
        (UPGRADE, 501, b""),
    ],
)
async def test_http_on_the_websocket_path(
    headers: Any, status: int, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A plain GET is refused; an upgrade means that the server has no websockets."""
    scope = http_scope("/socket/websocket", headers=headers, query_string=b"vsn=2.0.0")

    with caplog.at_level(logging.ERROR):
        start, body = await answered(Harness().app, scope)

    assert start["status"] == status
    assert body["body"].startswith(text)
    assert ("pip install websockets" in caplog.text) is (status == 501)


class RefusingSocket(SocketHandler):
    """Refuses everyone with a reason."""

    def connect(self, params: Any, socket: Any, connect_info: Any) -> Any:
        return error({"reason": "full"})


def refusing_app(handler: Any) -> Any:
    """An application that refuses everyone with this `error_handler`."""
    endpoint = Endpoint()
    options = WebSocketOptions(error_handler=handler, subprotocols=["a"])
    endpoint.socket("/socket", RefusingSocket, websocket=options)
    return asgi.app(endpoint)


async def test_the_error_handler() -> None:
    """It gets the scope and the reason, and may be async."""
    seen: list[Any] = []

    async def handler(scope: Any, reason: Any) -> asgi.HttpResponse:
        seen.append((scope["type"], reason))
        return asgi.HttpResponse(503, {"Retry-After": "5"}, b"later")

    headers = [(b"host", b"localhost"), (b"sec-websocket-protocol", b"b, a")]

    start, body = await answered(refusing_app(handler), websocket_scope(headers=headers))

    assert seen == [("websocket", {"reason": "full"})]
    assert (start["status"], body["body"]) == (503, b"later")
    assert dict(start["headers"])[b"retry-after"] == b"5"
    assert dict(start["headers"])[b"sec-websocket-protocol"] == b"a"


async def test_an_error_handler_that_returns_something_else() -> None:
    """The error says what to return."""
    with pytest.raises(TypeError, match="return an ASGI application"):
        await answered(refusing_app(lambda _scope, reason: reason), websocket_scope())


def test_an_option_that_asgi_cannot_keep() -> None:
    """The error names the socket, the option and the remedy."""
    endpoint = Endpoint()
    options = WebSocketOptions(frame_timeout_s=5.0)
    endpoint.socket("/chat", accepting({}), websocket=options)

    with pytest.raises(ConfigError, match=r"'/chat' sets frame_timeout_s.*frame_timeout_s=None"):
        asgi.app(endpoint)


# Lifespan.


async def lifespan(app: Any) -> list[str]:
    """Start and stop an application; returns the kinds of its events."""
    server = FakeServer()
    running = asyncio.create_task(
        app({"type": "lifespan", "asgi": {}, "state": {}}, server.receive, server.send)
    )
    server.give("lifespan.startup")
    await server.sent_when(1)
    server.give("lifespan.shutdown")
    await ended(running)
    return [event["type"] for event in server.sent]


COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_the_endpoint_is_closed_at_the_end() -> None:
    """The clients are drained before the shutdown is complete."""
    harness = Harness()
    server, running = await harness.join()
    stopping = asyncio.create_task(lifespan(harness.app))
    await server.sent_when(3)
    server.give("websocket.disconnect", code=1012)

    assert await stopping == COMPLETE
    assert server.close_codes == [1012]
    await ended(running)


async def no_lifespan(scope: Any, _receive: Any, _send: Any) -> None:
    """As Django."""
    raise ValueError(f"cannot handle {scope['type']}")


async def late_no_lifespan(scope: Any, receive: Any, _send: Any) -> None:
    """An application that receives first."""
    await receive()
    raise ValueError(f"cannot handle {scope['type']}")


async def silent(_scope: Any, _receive: Any, _send: Any) -> None:
    """An application that ignores it."""


@pytest.mark.parametrize("fallback", [no_lifespan, late_no_lifespan, silent])
async def test_a_fallback_without_lifespan(fallback: Any) -> None:
    """The events are answered without it."""
    endpoint = an_endpoint()
    app = asgi.app(endpoint, fallback)

    assert await lifespan(app) == COMPLETE
    assert endpoint.is_closing


async def test_a_fallback_with_lifespan() -> None:
    """It gets the events; the endpoint is closed before it shuts down."""
    endpoint = an_endpoint()
    steps: list[Any] = []

    async def fallback(_scope: Any, receive: Any, send: Any) -> None:
        steps.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        steps.append(((await receive())["type"], endpoint.is_closing))
        await send({"type": "lifespan.shutdown.complete"})

    assert await lifespan(asgi.app(endpoint, fallback)) == COMPLETE
    assert steps == ["lifespan.startup", ("lifespan.shutdown", True)]


async def test_a_fallback_that_fails_to_start() -> None:
    """Its failure reaches the server, which stops."""

    async def fallback(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    with pytest.raises(RuntimeError, match="no database"):
        await lifespan(asgi.app(an_endpoint(), fallback))
