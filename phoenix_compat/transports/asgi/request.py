"""ASGI scopes as the values that the transports share, and responses as ASGI events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from multidict import CIMultiDict

from phoenix_compat.errors import ConfigError
from phoenix_compat.transports.asgi.types import ASGIApplication, Event, Receive, Scope, Send
from phoenix_compat.transports.paths import segments
from phoenix_compat.transports.request import HttpRequest
from phoenix_compat.transports.response import HttpResponse

_PATH_CHARS: Final = "/:@!$&'()*+,;=~"
"""Besides letters and digits, what a path may have that is not percent-encoded."""
_HTTP_SCHEMES: Final = {"ws": "http", "wss": "https"}
_SUBPROTOCOLS: Final = "sec-websocket-protocol"
_RESPONSE_EXTENSION: Final = "websocket.http.response"


def request_value(scope: Scope) -> HttpRequest:
    """The head of the request that a scope describes."""
    peer = scope.get("client") or (None, None)
    scheme: str = scope.get("scheme", "http")
    major, _, minor = scope.get("http_version", "1.1").partition(".")
    return HttpRequest(
        # Over HTTP/2 a websocket begins with CONNECT.
        method="GET" if scope["type"] == "websocket" else scope["method"],
        path=path_as_sent(scope),
        query=_text(scope.get("query_string", b"")),
        headers=_headers_of(scope),
        scheme=_HTTP_SCHEMES.get(scheme, scheme),
        peer=(peer[0], peer[1]),
        http_version=(int(major), int(minor or 0)),
        native=scope,
        session_of=starlette_session_of,
    )


def _headers_of(scope: Scope) -> CIMultiDict[str]:
    headers = CIMultiDict((_text(name), _text(value)) for name, value in scope["headers"])
    offered = scope.get("subprotocols")
    if offered and _SUBPROTOCOLS not in headers:  # some servers have them only there
        headers[_SUBPROTOCOLS] = ", ".join(offered)
    return headers


def starlette_session_of(scope: Scope) -> Mapping[str, Any]:
    """The session that Starlette's SessionMiddleware has put into the scope.

    Raises:
        ConfigError: the middleware is missing.
    """
    session: Mapping[str, Any] | None = scope.get("session")
    if session is None:
        raise ConfigError(
            "session=True, but the ASGI scope has no session: add Starlette's SessionMiddleware to "
            "the application, or give a function that returns the session of a scope"
        )
    return session


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def path_as_sent(scope: Scope) -> str:
    """The whole path as sent, or encoded again where the server does not tell."""
    raw_path = scope.get("raw_path")
    if raw_path is None:
        return quote(scope["path"], safe=_PATH_CHARS)
    return _text(raw_path).partition("?")[0]


def segments_of(scope: Scope) -> list[str]:
    """The segments of the path, as sent, without those of `root_path`.

    `root_path` is what a server was told with `--root-path`, and where an application is mounted.
    """
    path = segments(path_as_sent(scope))
    root = segments(scope.get("root_path", ""))
    if root and [unquote(segment) for segment in path[: len(root)]] == root:
        return path[len(root) :]
    return path


def can_refuse_websockets(scope: Scope) -> bool:
    """Whether the server can answer a websocket's request with an HTTP response."""
    return _RESPONSE_EXTENSION in (scope.get("extensions") or ())


async def send_response(response: HttpResponse, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response to an HTTP request, or to one for a websocket.

    A server that cannot send responses to requests for websockets answers them with 403.
    """
    if scope["type"] == "websocket":
        if not can_refuse_websockets(scope):
            await send({"type": "websocket.close", "code": 1000})
            return
        send = _as_refusal(send)
    if response.native is not None:
        app: ASGIApplication = response.native
        as_http = {**scope, "type": "http", "method": scope.get("method", "GET")}
        await app(as_http, receive, _adding(_headers(response), send))
        return
    headers = _headers(response)
    headers.append((b"content-length", str(len(response.body)).encode()))
    if response.closes and scope.get("http_version", "1.1").startswith("1"):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _headers(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode("latin-1"), value.encode("utf-8", "surrogateescape"))
        for name, value in response.headers.items()
    ]


def _as_refusal(send: Send) -> Send:
    async def refusing(event: Event) -> None:
        await send({**event, "type": f"websocket.{event['type']}"})

    return refusing


def _adding(headers: list[tuple[bytes, bytes]], send: Send) -> Send:
    """Add headers to a response that does not have them."""

    async def adding(event: Event) -> None:
        if event["type"] == "http.response.start":
            own: list[Any] = list(event.get("headers", ()))
            names = {bytes(name).lower() for name, _ in own}
            own += [header for header in headers if header[0] not in names]
            event = {**event, "headers": own}
        await send(event)

    return adding
